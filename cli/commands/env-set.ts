import type { Command, OptionSpec } from '../command.ts';

/** Of every verb that changes variables. */
export const RESTART_OPTIONS: readonly OptionSpec[] = [
  { flags: '--restart', description: 'restart the app with them, without losing a request' },
  { flags: '--no-restart', description: 'do not ask; they come with the next start' },
];

export const envSet: Command = {
  name: 'env set',
  summary: 'keep variables of an app on the host',
  description:
    "Keeps variables for an app on its host: passwords, keys, addresses. They win over env in zdd.yaml. A value is typed unseen, or comes from stdin or a file, and never from the command line, where the shell's history and ps would have it. One line end at its end is not part of it. What runs is left alone until a restart or the next deploy.",
  examples: [
    ['zdd-agent env set DATABASE_URL', 'asks, and shows nothing of it'],
    ['pass db | zdd-agent env set DB_URL --restart', 'from another program'],
    ['zdd-agent env set TLS_KEY --file key.pem', 'from a file'],
  ],
  args: [{ name: '<NAME...>', description: 'one from stdin or a file, several on a terminal' }],
  options: [
    { flags: '--file <file>', description: 'read the value from this file; - is stdin' },
    ...RESTART_OPTIONS,
  ],
  async run(input, context) {
    const { setVariables } = await import('../env/change.ts');
    return setVariables(input, context);
  },
};
