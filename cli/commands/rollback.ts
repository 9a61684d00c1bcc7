import type { Command } from '../command.ts';

export const rollback: Command = {
  name: 'rollback',
  summary: 'go back to an earlier release',
  description:
    'Moves traffic back to the last good release, or to the one named. While the old release is warm that takes milliseconds; otherwise it is started and probed first. While a deployment bakes, this ends it.',
  examples: [
    ['zdd-agent rollback', 'to the last good release'],
    ['zdd-agent rollback r41', 'to a certain one; see: zdd-agent releases'],
  ],
  args: [{ name: '[RELEASE]', description: 'default: the last good one' }],
  options: [
    { flags: '--force', description: 'although somebody has locked the app' },
    { flags: '--detach', description: 'return once it has started' },
  ],
  async run(input, context) {
    const { steer } = await import('../watch/steer.ts');
    const release = input.arg(0);
    return steer(context, {
      verb: 'rollback',
      wish: {
        ...(release === undefined ? {} : { release }),
        ...(input.flag('force') ? { force: true } : {}),
      },
      detach: input.flag('detach'),
    });
  },
};
