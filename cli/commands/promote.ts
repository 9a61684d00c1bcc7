import type { Command } from '../command.ts';

export const promote: Command = {
  name: 'promote',
  summary: 'end the bake now, with success',
  description:
    'Makes the release that bakes stable at once instead of watching it for the rest of its time. The old release stays warm as usual.',
  examples: [['zdd-agent promote', 'it looks good, enough watching']],
  args: [],
  options: [{ flags: '--detach', description: 'return at once' }],
  beside: 'attach',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'promote', detach: input.flag('detach') });
  },
};
