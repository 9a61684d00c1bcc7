import type { Command, OptionSpec } from '../command.ts';

/** Of the verbs that run something in a release. */
export const EXEC_OPTIONS: readonly OptionSpec[] = [
  { flags: '--release <release>', description: 'in this one: r41 (default: the live one)' },
  { flags: '--process <type>', description: 'with its variables and limits (default: web)' },
  { flags: '-t, --tty', description: 'with a terminal, even if this is none' },
  { flags: '-T, --no-tty', description: 'without: three streams, byte for byte' },
];

export const exec: Command = {
  name: 'exec',
  summary: 'run a command in the live release',
  description:
    "Runs a command on the host in the folder of the live release: as the app's user, with its variables, limits and sandbox. Input, output and exit code are the command's own; on a terminal it gets one. It ends with this program: SIGHUP, SIGTERM 1.5 s later, SIGKILL after 5 s.",
  examples: [
    ['zdd-agent exec -- npm run stats', 'one command'],
    ['zdd-agent exec -- node -p process.version', 'after --, options are its own'],
    ["zdd-agent exec -- sh -c 'echo $ZDD_RELEASE'", 'variables of there'],
    ['zdd-agent exec --release r41 -- cat REVISION', 'in another release'],
  ],
  args: [{ name: '<COMMAND...>', description: 'after --: the program and its arguments' }],
  options: EXEC_OPTIONS,
  async run(input, context) {
    const { runCommand } = await import('../exec/exec.ts');
    return runCommand(input, context, input.rest(0));
  },
};
