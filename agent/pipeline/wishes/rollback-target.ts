import type { Target } from '../../core/events.ts';
import { type AppState, type Generation, standingRelease } from '../../core/model.ts';
import { isWarm } from '../../core/request.ts';
import { ZddError } from '../../protocol/errors.ts';
import { holdOf } from '../../protocol/hold.ts';
import { hasPresentEnvironment } from '../environment.ts';
import { configOf, type Host } from '../host.ts';
import { hasNumbers } from './scale.ts';

/**
 * Where a rollback leads: by default to the last good release that does not serve; null when it
 * serves already. What is warm and as it was takes traffic at once, anything else starts afresh.
 * @throws ZDD_NOTHING_TO_ROLL_BACK, ZDD_RELEASE_UNKNOWN
 */
export function rollbackTarget(
  host: Host,
  state: AppState,
  wanted: string | undefined,
): Extract<Target, { kind: 'release' | 'warm' }> | null {
  const { app, stable } = state;
  const release = wanted === undefined ? lastGood(host, state) : named(host, app, wanted);
  if (stable?.release === release) return null;
  const warm = state.retiring
    .map(({ generation }) => generation)
    .findLast((generation) => generation.release === release && isWarm(state, generation));
  const asBefore =
    warm !== undefined &&
    holdsNothing(host, app, [stable, warm]) &&
    allRun(host, app, warm) &&
    isOfPresentSize(host, state, warm) &&
    hasPresentEnvironment(host, app, warm);
  return asBefore ? { kind: 'warm', generation: warm } : { kind: 'release', release };
}

function allRun(host: Host, app: string, generation: Generation): boolean {
  const slots = host.slots.of(app, generation).filter(({ takesTraffic }) => takesTraffic);
  return slots.every(({ spec }) => host.runner.status(spec.slot).state === 'running');
}

/** Whether none of them has to be alone: what is warm now would first have to end. */
function holdsNothing(
  host: Host,
  app: string,
  generations: ReadonlyArray<Generation | null>,
): boolean {
  return generations.every(
    (generation) => generation === null || holdOf(configOf(host, app, generation)) === null,
  );
}

/** One that was left before the app was scaled would meet the traffic in other numbers. */
function isOfPresentSize(host: Host, { app, scale }: AppState, warm: Generation): boolean {
  return hasNumbers(host.slots.of(app, warm), configOf(host, app, warm), scale);
}

function lastGood(host: Host, state: AppState): string {
  const { app, stable, retiring } = state;
  const standing = standingRelease(state);
  const good = host.releases
    .list(app)
    .filter(({ verdict, release }) => verdict === 'good' && release !== standing);
  // The one that served last, not the one with the highest number: that may be what failed. An
  // earlier generation of the present release is no way back.
  const warm = retiring.findLast(
    (retirement) => retirement.good && retirement.generation.release !== standing,
  )?.generation.release;
  const stableNumber = standing === null ? 0 : numberOf(standing);
  const release =
    good.find((record) => record.release === warm)?.release ??
    good.find(({ number }) => number < stableNumber)?.release ??
    good[0]?.release;
  if (release === undefined) {
    throw new ZddError('ZDD_NOTHING_TO_ROLL_BACK', `${app} has no earlier good release`, {
      ...(stable === null ? {} : { traffic: `100 % on ${stable.release}` }),
      tries: [`zdd-agent releases ${app}`],
    });
  }
  return release;
}

/** Accepts `r42-ab12cd3` and `r42`. */
function named(host: Host, app: string, wanted: string): string {
  const match = host.releases
    .list(app)
    .find(({ release }) => release === wanted || release.split('-')[0] === wanted);
  if (match === undefined) {
    throw new ZddError('ZDD_RELEASE_UNKNOWN', `${app} has no release ${wanted}`, {
      tries: [`zdd-agent releases ${app}`],
    });
  }
  return match.release;
}

function numberOf(release: string): number {
  return Number(/^r(\d+)/.exec(release)?.[1] ?? 0);
}
