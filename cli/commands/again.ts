import type { OptionSpec } from '../command.ts';
import type { SteeringBody } from '../connect/agent.ts';
import type { Input } from '../input.ts';

/** What restart, scale and start take alike. */
export const AGAIN_OPTIONS: readonly OptionSpec[] = [
  { flags: '--detach', description: 'return once it has started' },
  { flags: '--bake <time>', description: 'watch the fresh instances so long (not at all)' },
  {
    flags: '--probe-timeout <time>',
    description: 'how long an instance has to become healthy',
  },
];

/** @throws UsageError */
export async function readAgain(
  input: Input,
): Promise<Pick<SteeringBody, 'bakeMs' | 'probeTimeoutMs'>> {
  const bakeMs = await input.duration('bake');
  const probeTimeoutMs = await input.duration('probe-timeout');
  return {
    ...(bakeMs === undefined ? {} : { bakeMs }),
    ...(probeTimeoutMs === undefined ? {} : { probeTimeoutMs }),
  };
}
