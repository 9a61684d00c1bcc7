import type { Command } from '../command.ts';

export const resume: Command = {
  name: 'resume',
  summary: 'let a paused canary go on',
  description:
    'A canary that somebody has paused goes on with the time its step had left; one that a gate has paused goes on with its next step.',
  examples: [['zdd-agent resume', 'it was nothing']],
  args: [],
  options: [{ flags: '--detach', description: 'return at once' }],
  beside: 'attach',
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    return steer(context, { verb: 'resume', detach: input.flag('detach') });
  },
};
