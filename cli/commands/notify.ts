import type { Command } from '../command.ts';

export const notify: Command = {
  name: 'notify',
  summary: 'tell once more how a deployment ended, by notify of its zdd.yaml',
  description:
    'Sends the messages of a deployment again, from its stored receipt, to everybody whom notify of its zdd.yaml names, whatever "on" says: to try out a new address, or after one was mended. Does not wait for their answers; zdd-agent events says what came of it.',
  examples: [
    ['zdd-agent notify', 'of the last one that ended'],
    ['zdd-agent notify 58', 'of a certain one'],
  ],
  args: [{ name: '[ID]', description: 'number of the deployment; default: the last one' }],
  options: [],
  aside: true,
  async run(input, context) {
    const { notifyAgain } = await import('../read/notify.ts');
    return notifyAgain(context, input.arg(0));
  },
};
