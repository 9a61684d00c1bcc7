import type { Command } from '../command.ts';
import type { Context } from '../context.ts';
import { UsageError } from '../usage-error.ts';

export const rollback: Command = {
  name: 'rollback',
  summary: 'go back to an earlier release',
  description:
    'Moves traffic back to the last good release, or to the one named. While the old release is warm that takes milliseconds; otherwise it is started and probed first. While a deployment bakes, this ends it.',
  examples: [
    ['zdd-agent rollback', 'to the last good release'],
    ['zdd-agent rollback -i', 'choose from the list, on a terminal'],
    ['zdd-agent rollback r41', 'to a certain one; see: zdd-agent releases'],
  ],
  args: [{ name: '[RELEASE]', description: 'default: the last good one' }],
  options: [
    { flags: '-i, --interactive', description: 'choose the release from a list' },
    { flags: '--force', description: 'although somebody has locked the app' },
    {
      flags: '--across-contract',
      description: 'although a contract was run that it may not live with',
    },
    { flags: '--detach', description: 'return once it has started' },
  ],
  async run(input, context) {
    const named = input.arg(0);
    if (named !== undefined && input.flag('interactive')) {
      throw new UsageError('a release and --interactive: only one of them can say where to', [
        `zdd-agent rollback ${named}`,
        'zdd-agent rollback -i',
      ]);
    }
    const [{ steer }, release] = await Promise.all([
      import('../watch/steer.ts'),
      input.flag('interactive') ? pick(context) : named,
    ]);
    return steer(context, {
      verb: 'rollback',
      wish: {
        ...(release === undefined ? {} : { release }),
        ...(input.flag('force') ? { force: true } : {}),
        ...(input.flag('across-contract') ? { acrossContract: true } : {}),
      },
      detach: input.flag('detach'),
    });
  },
};

async function pick(context: Context): Promise<string> {
  const { pickRelease } = await import('../watch/pick-release.ts');
  return pickRelease(context);
}
