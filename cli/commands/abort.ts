import type { Command } from '../command.ts';

export const abort: Command = {
  name: 'abort',
  summary: 'stop the running deployment',
  description:
    'Stops the running deployment. Before the switch nothing has changed for anybody; after it, traffic goes back to the old release first.',
  examples: [['zdd-agent abort', 'the deployment of the app of this folder']],
  args: [],
  options: [{ flags: '--detach', description: 'return at once' }],
  beside: 'attach',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'abort', detach: input.flag('detach') });
  },
};
