import type { Command } from '../command.ts';

export const complete: Command = {
  name: 'complete',
  summary: 'words for completion, for the scripts of the shells',
  description:
    'What the scripts of "zdd-agent completion" ask: names from the nearest zdd.yaml and from an agent on this machine, one a line. Takes at most 300 ms and never complains.',
  examples: [['zdd-agent complete apps', 'apps, releases, processes, scales or environments']],
  args: [{ name: '[WHAT]', description: 'apps, releases, processes, scales or environments' }],
  options: [],
  aside: true,
  async run(input, context) {
    const { printValues } = await import('../completion/values.ts');
    return printValues(context, input.arg(0));
  },
};
