import { showFailure } from './failure.ts';
import { runOnHosts } from './hosts/each-host.ts';
import { listenForInterrupts } from './interrupt.ts';
import { parseCommandLine } from './program.ts';
import { COMMANDS } from './registry.ts';
import { overview } from './render/help.ts';
import { openScreen } from './render/screen.ts';
import { cliVersion } from './version.ts';

process.exitCode = await main(process.argv.slice(2));

/** @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  // Until the command line is read, what it plainly says about output is believed.
  let screen = openScreen({
    json: argv.includes('--json'),
    quiet: false,
    color: !argv.includes('--no-color'),
  });
  try {
    const parsed = await parseCommandLine(COMMANDS, argv, cliVersion);
    if (parsed.kind === 'overview') return print(overview(COMMANDS));
    if (parsed.kind === 'print') return print(parsed.text);
    const { command, input, globals } = parsed;
    screen = openScreen(globals);
    const interrupts = listenForInterrupts();
    return await runOnHosts({ command, input, globals, screen, interrupts, cwd: process.cwd() });
  } catch (cause) {
    return showFailure(screen, cause);
  }
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}
