import type { Command } from '../command.ts';

export const pause: Command = {
  name: 'pause',
  summary: 'keep a canary, or a rolling deployment, where it is',
  description:
    'The candidate keeps its present share of the users, and is watched on: when it fails a gate, it is rolled back all the same. The time a step has left is kept. A rolling deployment comes to the end of its present batch first.',
  examples: [['zdd-agent pause', 'somebody wants to look first']],
  args: [],
  options: [],
  beside: 'attach',
  async run(_input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'pause', detach: true });
  },
};
