import type { Command } from '../command.ts';

export const retry: Command = {
  name: 'retry',
  summary: 'try the last deployment once more',
  description:
    'Deploys the release whose deployment did not succeed once more, from the release command on, with all its steps. Nothing is sent.',
  examples: [['zdd-agent retry', 'the database is back']],
  args: [],
  options: [{ flags: '--detach', description: 'return once it has started' }],
  beside: 'push',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'retry', detach: input.flag('detach') });
  },
};
