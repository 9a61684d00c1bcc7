import type { Command } from '../command.ts';

export const unlock: Command = {
  name: 'unlock',
  summary: 'everybody may deploy the app again',
  description: 'Ends the lock of an app, whoever set it. The audit keeps who did.',
  examples: [['zdd-agent unlock', 'the app of this folder']],
  args: [],
  options: [],
  aside: true,
  async run(_input, context) {
    const { gate } = await import('../gate/gate.ts');
    return gate(context, 'unlock', {});
  },
};
