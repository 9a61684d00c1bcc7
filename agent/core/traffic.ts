import { stepsOf } from './canary.ts';
import {
  type AppState,
  candidateOf,
  type Generation,
  isAdmitted,
  isExclusive,
  sameGeneration,
} from './model.ts';
import type { Extent } from './roll.ts';

/** Weight of every server of the generation that takes new requests. */
export const FULL_WEIGHT = 100;

/** How HAProxy shall treat one generation. */
export interface Share {
  readonly generation: Generation;
  /** Weight of each of its servers; 0 keeps present connections and takes no new requests. */
  readonly weight: number;
  /** `leaving`: it is about to be stopped, nothing may reach it. */
  readonly state: 'ready' | 'leaving';
  /** How far its instances have come, where it comes or leaves one by one: see `standingOf`. */
  readonly extent?: Extent;
}

/**
 * How HAProxy shall treat one instance of a generation; null when it need not know it.
 * @param index from 1
 */
export function standingOf(
  { weight, state, extent }: Share,
  index: number,
): Pick<Share, 'weight' | 'state'> | null {
  if (extent === undefined) return { weight, state };
  if (index > extent.known) return null;
  if (index > extent.ready || state === 'leaving') return { weight: 0, state: 'leaving' };
  return { weight: index > extent.serving ? 0 : FULL_WEIGHT, state: 'ready' };
}

/** How far the web instances of a generation have come; null when all of them are there. */
export function extentOf({ stable, deployment }: AppState, generation: Generation): Extent | null {
  if (deployment?.roll === undefined) return null;
  if (sameGeneration(stable, generation)) return deployment.roll.staying;
  const candidate = candidateOf(deployment.phase);
  return sameGeneration(candidate, generation) ? deployment.roll.coming : null;
}

/**
 * The traffic that belongs to a state: which generations HAProxy knows, and which of them takes new
 * requests. One does, as soon as the app has a release that serves, until a stop; two while they
 * change places instance by instance.
 */
export function trafficOf(state: AppState): Share[] {
  const serving = servingGeneration(state);
  const shares: Share[] = [];
  const add = (generation: Generation | null, leaving: boolean): void => {
    if (generation === null) return;
    if (shares.some((share) => sameGeneration(share.generation, generation))) return;
    const extent = extentOf(state, generation);
    // None of it has been shown to HAProxy yet.
    if (extent?.known === 0) return;
    const serves = extent === null ? sameGeneration(generation, serving) : extent.serving > 0;
    shares.push({
      generation,
      weight: serves ? FULL_WEIGHT : 0,
      state: leaving || extent?.ready === 0 ? 'leaving' : 'ready',
      ...(extent === null ? {} : { extent }),
    });
  };
  const { deployment } = state;
  const phase = deployment?.phase.name;
  add(state.stable, phase === 'stopping' || (isStableDown(state) && phase !== 'holding'));
  if (deployment !== null && isAdmitted(deployment)) {
    const goesBack = phase === 'returning' || phase === 'reverting';
    add(candidateOf(deployment.phase), goesBack && deployment.heldSince !== undefined);
  }
  for (const { generation, phase, admitted } of state.retiring) {
    if (admitted) add(generation, phase === 'stopping');
  }
  return shares;
}

/**
 * Whether new requests wait: stable has to end before the candidate may begin, or the other way round.
 */
export function isHeld({ stable, deployment }: AppState): boolean {
  if (stable === null || deployment?.heldSince === undefined) return false;
  return ['holding', 'starting', 'probing', 'smoking', 'admitting', 'returning'].includes(
    deployment.phase.name,
  );
}

/** Whether the web instances of stable have been told to stop, for a candidate's sake. */
export function isStableDown(state: AppState): boolean {
  const { deployment } = state;
  if (deployment?.heldSince === undefined || state.stable === null) return false;
  return isHeld(state) || ['switching', 'baking', 'promoting'].includes(deployment.phase.name);
}

/**
 * Whose settings HAProxy has: those of who serves. While requests wait, and when they are let go, it
 * may not be reloaded, so a candidate that was waited for has its own after that.
 */
export function leadingGeneration(state: AppState): Generation | null {
  const { stable, deployment } = state;
  if (deployment !== null && stable !== null && deployment.heldSince !== undefined) {
    const { phase } = deployment;
    const baked = 'baked' in phase && phase.baked === true;
    return phase.name === 'baking' || phase.name === 'promoting' || baked
      ? candidateOf(phase)
      : stable;
  }
  return servingGeneration(state) ?? trafficOf(state)[0]?.generation ?? null;
}

/**
 * The generation that takes new requests: the candidate from `switching` on, or when the last instance
 * of stable has gone, else stable; null in a stop, while requests wait, and when nothing serves.
 */
export function servingGeneration(state: AppState): Generation | null {
  const phase = state.deployment?.phase;
  if (isHeld(state)) return null;
  switch (phase?.name) {
    case 'rolling':
    case 'returning': {
      const { roll } = state.deployment ?? {};
      return roll?.staying.serving === 0 ? phase.candidate : state.stable;
    }
    case 'switching':
    case 'baking':
    case 'promoting':
      return phase.candidate;
    case 'closing':
    case 'draining':
    case 'stopping':
      return null;
    default:
      return state.stable;
  }
}

/** Generations that take no new users, and keep those they have for a while. */
export function lingering({ stable, deployment, retiring }: AppState): Generation[] {
  const left = retiring.filter(({ lingersUntil }) => lingersUntil !== undefined);
  const generations = left.map(({ generation }) => generation);
  if (stable === null || deployment === null || isExclusive(deployment)) return generations;
  const replaced = ['switching', 'baking', 'promoting'].includes(deployment.phase.name);
  return replaced && deployment.policy.lingerMs !== undefined
    ? [...generations, stable]
    : generations;
}

/** The share of the users that a candidate has in its canary; null when there is none. */
export interface CanaryShare {
  readonly candidate: Generation;
  /** 0 to 100; at 0 only who looks at it on purpose reaches it. */
  readonly percent: number;
}

export function canaryShare({ stable, deployment }: AppState): CanaryShare | null {
  if (stable === null || deployment === null) return null;
  const { phase } = deployment;
  switch (phase.name) {
    case 'admitting':
      // Whoever previews it may do so from the first step on, which need not be a weight.
      return stepsOf(deployment).length === 0 ? null : { candidate: phase.candidate, percent: 0 };
    case 'canary':
      return { candidate: phase.candidate, percent: phase.percent };
    default:
      return null;
  }
}

/**
 * Percent of new requests that a generation gets: whole weights, or in a canary what is left of the
 * candidate's share.
 */
export function percentOf(state: AppState, generation: Generation): number {
  const share = canaryShare(state);
  if (share !== null && sameGeneration(share.candidate, generation)) return share.percent;
  const extent = extentOf(state, generation);
  if (extent !== null) return instancePercent(state, extent);
  return sameGeneration(servingGeneration(state), generation) ? 100 - (share?.percent ?? 0) : 0;
}

/** New requests go round the instances: so many of all that take some. */
function instancePercent({ deployment }: AppState, { serving }: Extent): number {
  const { coming, staying } = deployment?.roll ?? {};
  const all = (coming?.serving ?? 0) + (staying?.serving ?? 0);
  return all === 0 ? 0 : Math.round((100 * serving) / all);
}

/**
 * Whether traffic is being moved just now: what differs between journal and HAProxy then differs on
 * purpose.
 */
export function isMoving(state: AppState): boolean {
  const phase = state.deployment?.phase.name;
  return (
    phase === 'holding' ||
    phase === 'admitting' ||
    isWeighing(state) ||
    (phase === 'rolling' &&
      ['admit', 'shed', 'stop'].includes(state.deployment?.roll?.doing ?? '')) ||
    phase === 'switching' ||
    phase === 'returning' ||
    phase === 'reverting' ||
    phase === 'closing' ||
    phase === 'stopping' ||
    state.tidied < state.departures ||
    state.retiring.some((retirement) => retirement.phase === 'stopping')
  );
}

function isWeighing({ deployment }: AppState): boolean {
  if (deployment?.phase.name !== 'canary') return false;
  return stepsOf(deployment)[deployment.phase.step]?.do === 'weight';
}

/**
 * Whether somebody was there for every request of the time in which a state held. An answer that
 * HAProxy gave itself in such a time is a lost request; in any other it is what a stop asks for.
 */
export function isServed(state: AppState): boolean {
  const phase = state.deployment?.phase;
  switch (phase?.name) {
    case 'baking':
    case 'promoting':
      return true;
    case 'closing':
    case 'draining':
    case 'stopping':
      return false;
    case 'reverting':
      return state.stable !== null && state.deployment?.kind !== 'stop';
    default:
      return state.stable !== null;
  }
}
