import type { Scale } from '../../core/model.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { MOST_INSTANCES } from '../../protocol/everyday.ts';

/** Instances by process type; null goes back to what zdd.yaml says. */
export type ScaleWish = Readonly<Record<string, number | null>>;

/**
 * The scale that a wish leads to, from the present one.
 * @throws ZDD_SCALE_INVALID with everything that is wrong with the wish; nothing has changed
 */
export function scaleFor(config: AppConfig, present: Scale, wish: ScaleWish): Scale {
  const problems = Object.entries(wish).flatMap(([process, instances]) =>
    problemOf(config, process, instances),
  );
  const merged = new Map(Object.entries(present));
  for (const [process, instances] of Object.entries(wish)) {
    if (instances === null) merged.delete(process);
    else merged.set(process, instances);
  }
  const scale = Object.fromEntries(merged);
  const all = Object.values(instancesOf(config, scale)).reduce((sum, count) => sum + count, 0);
  if (problems.length === 0 && all === 0) {
    problems.push(['all', 'nothing of the app would run; to let it rest: zdd-agent stop']);
  }
  if (problems.length === 0) return scale;
  throw new ZddError('ZDD_SCALE_INVALID', `${config.app} cannot be scaled to that`, {
    evidence: problems,
    traffic: 'untouched: nothing has changed',
    tries: ['zdd-agent scale web=2', `zdd-agent status ${config.app}`],
  });
}

/** How many instances of each process type of a release run with this scale. */
function instancesOf({ processes }: AppConfig, scale: Scale): Record<string, number> {
  return Object.fromEntries(
    Object.entries(processes).map(([process, { instances }]) => [
      process,
      scale[process] ?? instances,
    ]),
  );
}

/** Whether these are the slots of a release that was started with this scale. */
export function hasNumbers(
  slots: readonly { readonly process: string }[],
  config: AppConfig,
  scale: Scale,
): boolean {
  return Object.entries(instancesOf(config, scale)).every(
    ([process, count]) => slots.filter((slot) => slot.process === process).length === count,
  );
}

function problemOf(
  { processes }: AppConfig,
  process: string,
  instances: number | null,
): Array<[string, string]> {
  if (processes[process] === undefined) {
    const known = Object.keys(processes).join(', ');
    return [[process, `there is no such process type; there are: ${known}`]];
  }
  if (instances === null) return [];
  // Web takes the traffic: without an instance of it every request would be refused.
  const least = process === 'web' ? 1 : 0;
  if (instances >= least && instances <= MOST_INSTANCES) return [];
  const instead =
    process === 'web' && instances === 0 ? '; to take it offline: zdd-agent stop' : '';
  return [[process, `expected ${least} to ${MOST_INSTANCES}, got ${instances}${instead}`]];
}
