import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { readConfiguration } from './configuration.ts';
import { check } from './daemon/check.ts';
import { serve } from './daemon/serve.ts';
import { renderAdopted } from './haproxy/config/adopt.ts';
import { readConfig } from './haproxy/config/file.ts';
import { frontendsThatCut } from './haproxy/config/idle-close.ts';
import { EXIT, ZddError } from './protocol/errors.ts';

const HELP = `zdd-agentd: the daemon of zdd-agent

  zdd-agentd                            run in the foreground
  zdd-agentd check                      what a start would find: configuration and database
  zdd-agentd config check               the configuration alone
  zdd-agentd haproxy render --file F    print haproxy.cfg F with the managed region at its end
                                        (or as it is, when it has one)
  zdd-agentd haproxy cuts --file F      print the frontends of F that lack option
                                        idle-close-on-response: a reload may cut their clients

  --config FILE   default /etc/zdd-agent/agent.yaml
  --version

But for the first, none changes anything.
SIGHUP reads the configuration again; SIGTERM ends the daemon, and its apps run on.
`;

async function main(): Promise<number> {
  const { values, positionals } = readArguments();
  if (values.help) return say(HELP);
  if (values.version) return say(`${manifest.version}\n`);
  const command = positionals.join(' ');
  if ((values.file !== undefined) !== command.startsWith('haproxy ')) return usage();
  if (command === 'haproxy cuts') {
    const text = (await readConfig(values.file ?? '')) ?? '';
    return say(
      frontendsThatCut(text)
        .map((name) => `${name}\n`)
        .join(''),
    );
  }
  const configuration = readConfiguration(values.config);
  switch (command) {
    case '':
      return await serve(values.config, configuration);
    case 'check':
      return say(`${check(values.config, configuration).join('\n')}\n`);
    case 'config check':
      return say(`${values.config} is right\n`);
    case 'haproxy render': {
      const { bind, adminSocket, adminSocketInRegion } = configuration.haproxy;
      const socket = adminSocketInRegion ? adminSocket : undefined;
      return say(await renderAdopted(values.file ?? '', { bind, adminSocket: socket }));
    }
    default:
      return usage();
  }
}

/** @throws ZDD_USAGE */
function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        config: { type: 'string', default: '/etc/zdd-agent/agent.yaml' },
        file: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ZddError('ZDD_USAGE', why, { tries: ['zdd-agentd --help'], cause });
  }
}

function say(text: string): number {
  process.stdout.write(text);
  return EXIT.ok;
}

function usage(): number {
  process.stderr.write(HELP);
  return EXIT.usage;
}

function complain(error: unknown): number {
  if (!(error instanceof ZddError)) throw error;
  const { code, message, evidence, tries, exit } = error;
  const details = evidence.map(([label, text]) => `  ${label} ${text}\n`).join('');
  const hints = tries.map((hint) => `Try: ${hint}\n`).join('');
  process.stderr.write(`Error: ${message}  ${code}\n${details}${hints}`);
  return exit;
}

// Not by the end of all work: what was cut at the stop may still hold a socket or a timer.
process.exit(await main().catch(complain));
