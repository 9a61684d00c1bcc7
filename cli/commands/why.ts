import type { Command } from '../command.ts';

export const why: Command = {
  name: 'why',
  summary: 'the receipt of a deployment: what happened, and why',
  description:
    'Prints what a deployment left behind: its steps and times, requests seen and lost, what each gate said, and the evidence when it failed.',
  examples: [
    ['zdd-agent why', 'the last one that ended'],
    ['zdd-agent why 58', 'a certain one; also #58, in quotes'],
  ],
  args: [{ name: '[ID]', description: 'number of the deployment; default: the last one' }],
  options: [],
  async run(input, context) {
    const { printReceipt } = await import('../read/why.ts');
    return printReceipt(context, input.arg(0));
  },
};
