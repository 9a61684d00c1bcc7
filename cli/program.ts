import { InvalidArgumentError, Command as Program } from 'commander';
import type { ArgumentSpec, Command, OptionSpec } from './command.ts';
import type { Globals } from './context.ts';
import { type Input, readInput } from './input.ts';
import { examplesOf, overview } from './render/help.ts';
import { UsageError } from './usage-error.ts';

const HOST = '--host <destination>';
const SSH_COMMAND = '--ssh-command';

/** What commander found on the command line. */
export type Parsed =
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly input: Input;
      readonly globals: Globals;
    }
  /** Help or version: print it, exit 0. */
  | { readonly kind: 'print'; readonly text: string }
  /** No verb at all. */
  | { readonly kind: 'overview' };

/** What every verb takes. */
export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    flags: '--app <name>',
    description: 'the app; default: that of the nearest zdd.yaml, else the only one',
  },
  {
    flags: HOST,
    description: 'user@host:port, or a name of ~/.ssh/config; may be repeated',
  },
  { flags: '-e, --environment <name>', description: 'the hosts of this environment of zdd.yaml' },
  {
    flags: '--socket <path>',
    description: 'socket of the agent, on its host (or ZDD_SOCKET_PATH here)',
  },
  {
    flags: '--accept-new',
    description: 'trust and keep the key of a host that is not known yet',
  },
  {
    flags: `${SSH_COMMAND} [program]`,
    description: "go through the system's ssh, or =PROGRAM",
  },
  { flags: '--json', description: 'machine-readable output: one JSON value, or one a line' },
  { flags: '--quiet', description: 'no progress, only results and errors' },
  { flags: '--no-color', description: 'no colours (or NO_COLOR=1)' },
  { flags: '--version', description: 'print the version' },
];

/**
 * Reads a command line by the declared commands.
 * @throws UsageError for everything commander refuses, suggestions included
 */
export async function parseCommandLine(
  commands: readonly Command[],
  argv: readonly string[],
  version: () => Promise<string>,
): Promise<Parsed> {
  if (argv.includes('--version') && !argv.includes('--')) {
    return { kind: 'print', text: `zdd-agent ${await version()}` };
  }
  let parsed: Parsed = { kind: 'overview' };
  let printed = '';
  let refused = '';
  const program = configured(new Program('zdd-agent'));
  program.description('deploys without a lost request').helpCommand(false);
  for (const { flags, description } of GLOBAL_OPTIONS) {
    if (flags === HOST) program.option(flags, description, someMore);
    else if (flags.includes('<')) program.option(flags, description, some);
    else program.option(flags, description);
  }
  program.helpInformation = () => overview(commands);

  function configured(target: Program): Program {
    return target
      .exitOverride()
      .configureOutput({
        writeOut: (text) => {
          printed += text;
        },
        writeErr: (text) => {
          refused += text;
        },
      })
      .configureHelp({ showGlobalOptions: true, helpWidth: 80 })
      .helpOption('-h, --help', 'show this')
      .allowExcessArguments(false);
  }

  for (const command of commands) {
    const words = command.name.split(' ');
    const name = words.pop() ?? command.name;
    const verb = configured(parentOf(program, words, configured).command(name));
    verb.summary(command.summary).description(command.description);
    verb.addHelpText('before', `${examplesOf(command)}`);
    for (const { name: argument, description } of command.args)
      verb.argument(argument, description);
    for (const { flags, description } of command.options) verb.option(flags, description);
    verb.action(() => {
      parsed = {
        kind: 'run',
        command,
        input: readInput(command.name, positional(verb.args, command.args), verb.opts()),
        globals: globalsOf(program.opts()),
      };
    });
  }

  try {
    await program.parseAsync(bareSshCommand(argv), { from: 'user' });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (code === 'commander.helpDisplayed') return { kind: 'print', text: printed.trimEnd() };
    // A verb that was left out: of everything, or of a group such as `config`.
    if (code === 'commander.help') {
      const group = argv.find((word) => !word.startsWith('-'));
      if (group === undefined) return { kind: 'overview' };
      throw new UsageError(`${group}: which verb?`, [`zdd-agent ${group} --help`]);
    }
    if (code.startsWith('commander.')) throw usageError(refused, argv, commands);
    throw cause;
  }
  return parsed;
}

/** An empty value is a script with an unset variable. @throws InvalidArgumentError */
function some(value: string): string {
  if (value === '') throw new InvalidArgumentError('It is empty.');
  return value;
}

/** For an option that may be repeated. @throws InvalidArgumentError */
function someMore(value: string, before: readonly string[] = []): string[] {
  return [...before, some(value)];
}

/** The command above `config check`, made when its first verb is declared. */
function parentOf(
  program: Program,
  words: readonly string[],
  configured: (target: Program) => Program,
): Program {
  const [group] = words;
  if (group === undefined) return program;
  const known = program.commands.find((each) => each.name() === group);
  return known ?? configured(program.command(group)).helpCommand(false);
}

function positional(
  typed: readonly string[],
  specs: readonly ArgumentSpec[],
): (string | undefined)[] {
  // One that may be repeated takes all that is left.
  const rest = specs.at(-1)?.name.includes('...') ? typed.slice(specs.length) : [];
  return [...specs.map((_, index) => typed[index]), ...rest];
}

function globalsOf(options: Readonly<Record<string, unknown>>): Globals {
  const text = (name: string) => {
    const value = options[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    app: text('app'),
    hosts: hostsOf(options['host']),
    environment: text('environment'),
    socket: text('socket'),
    acceptNew: options['acceptNew'] === true,
    sshCommand: options['sshCommand'] === true ? 'ssh' : text('sshCommand'),
    json: options['json'] === true,
    quiet: options['quiet'] === true,
    color: options['color'] !== false,
  };
}

function hostsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Only `--ssh-command=PROGRAM` names a program: the word after a bare one is the verb. */
function bareSshCommand(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((word, at) =>
    word === SSH_COMMAND && (end < 0 || at < end) ? `${SSH_COMMAND}=ssh` : word,
  );
}

/** Commander's words, with its suggestion on the same line, and the help that belongs to them. */
function usageError(
  refused: string,
  argv: readonly string[],
  commands: readonly Command[],
): UsageError {
  const [first = '', ...rest] = refused.trim().split('\n');
  const suggestion = /\(Did you mean (.*)\?\)/.exec(rest.join(' '))?.[1];
  const message = first.replace(/^error: /, '');
  const known = commands.find(({ name }) => argv.join(' ').startsWith(name));
  const help = `zdd-agent ${known ? `${known.name} ` : ''}--help`;
  if (suggestion === undefined) return new UsageError(message, [help]);
  const unknown = /unknown command '(.*)'/.exec(message)?.[1];
  const group = argv.slice(0, unknown === undefined ? 0 : argv.indexOf(unknown));
  return new UsageError(`${message}: did you mean ${suggestion}?`, [
    suggestion.startsWith('-') ? help : ['zdd-agent', ...group, suggestion].join(' '),
  ]);
}
