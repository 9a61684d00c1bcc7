import type { Command } from '../command.ts';

export const promote: Command = {
  name: 'promote',
  summary: 'go on to the next step, or end the bake with success',
  description:
    'In a canary: on to its next step, also where a gate waits or has paused it. While it bakes: makes the release stable at once instead of watching it for the rest of its time. The old release stays warm as usual.',
  examples: [
    ['zdd-agent promote', 'it looks good, enough watching'],
    ['zdd-agent promote --full', 'all traffic now: no more steps, no bake'],
  ],
  args: [],
  options: [
    { flags: '--full', description: 'past all steps of the canary and the bake' },
    { flags: '--detach', description: 'return at once' },
  ],
  beside: 'attach',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    const detach = input.flag('detach');
    const wish = input.flag('full') ? { full: true } : {};
    return steer(context, { verb: 'promote', wish, detach });
  },
};
