import { type Context, openAgent } from './context.ts';
import { Interrupted, listenForInterrupts } from './interrupt.ts';
import { parseCommandLine } from './program.ts';
import { COMMANDS } from './registry.ts';
import { overview } from './render/help.ts';
import { openScreen, type Screen } from './render/screen.ts';
import { UsageError } from './usage-error.ts';

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
    const parsed = await parseCommandLine(COMMANDS, argv, version);
    if (parsed.kind === 'overview') return print(overview(COMMANDS));
    if (parsed.kind === 'print') return print(parsed.text);
    const { command, input, globals } = parsed;
    screen = openScreen(globals);
    const context: Context = {
      globals,
      screen,
      interrupts: listenForInterrupts(),
      cwd: process.cwd(),
      agent: () => openAgent(globals),
    };
    return await command.run(input, context);
  } catch (cause) {
    return failed(screen, cause);
  }
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

/** The one place where what was thrown becomes output and an exit code. */
async function failed(screen: Screen, cause: unknown): Promise<number> {
  if (cause instanceof Interrupted) {
    if (cause.said.length > 0) screen.alarm(cause.said.join('\n'));
    if (cause.detached) screen.value({ detached: cause.detached });
    return 130;
  }
  const [{ ZddError, toErrorBody }, { showError }] = await Promise.all([
    import('../agent/protocol/errors.ts'),
    import('./render/error.ts'),
  ]);
  const known =
    cause instanceof UsageError
      ? new ZddError('ZDD_USAGE', cause.message, { tries: cause.tries })
      : cause;
  const body = toErrorBody(known);
  if (!(known instanceof ZddError)) body.tries.push('ZDD_DEBUG=1 zdd-agent ... shows where');
  showError(screen, body, { onStdout: true });
  if (process.env['ZDD_DEBUG'] === '1' && cause instanceof Error) screen.alarm(stackOf(cause));
  return known instanceof ZddError ? known.exit : 1;
}

function stackOf(error: Error): string {
  const inner = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return (error.stack ?? error.message) + inner;
}

async function version(): Promise<string> {
  const { default: manifest } = await import('../package.json', { with: { type: 'json' } });
  return manifest.version;
}
