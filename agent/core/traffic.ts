import {
  type AppState,
  candidateOf,
  type Generation,
  isAdmitted,
  sameGeneration,
} from './model.ts';

/** Weight of every server of the generation that takes new requests. */
export const FULL_WEIGHT = 100;

/** How HAProxy shall treat one generation. */
export interface Share {
  readonly generation: Generation;
  /** Weight of each of its servers; 0 keeps present connections and takes no new requests. */
  readonly weight: number;
  /** `leaving`: it is about to be stopped, nothing may reach it. */
  readonly state: 'ready' | 'leaving';
}

/**
 * The traffic that belongs to a state: which generations HAProxy knows, and which of them takes new
 * requests. Exactly one does, as soon as the app has a release that serves, until a stop.
 */
export function trafficOf(state: AppState): Share[] {
  const serving = servingGeneration(state);
  const shares: Share[] = [];
  const add = (generation: Generation | null, leaving: boolean): void => {
    if (generation === null) return;
    if (shares.some((share) => sameGeneration(share.generation, generation))) return;
    shares.push({
      generation,
      weight: sameGeneration(generation, serving) ? FULL_WEIGHT : 0,
      state: leaving ? 'leaving' : 'ready',
    });
  };
  add(state.stable, state.deployment?.phase.name === 'stopping');
  if (state.deployment !== null && isAdmitted(state.deployment)) {
    add(candidateOf(state.deployment.phase), false);
  }
  for (const { generation, phase, admitted } of state.retiring) {
    if (admitted) add(generation, phase === 'stopping');
  }
  return shares;
}

/**
 * The generation that takes new requests: the candidate from `switching` on, else stable; null in a
 * stop and when nothing serves.
 */
export function servingGeneration(state: AppState): Generation | null {
  const phase = state.deployment?.phase;
  switch (phase?.name) {
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

/**
 * Whether traffic is being moved just now: what differs between journal and HAProxy then differs on
 * purpose.
 */
export function isMoving(state: AppState): boolean {
  const phase = state.deployment?.phase.name;
  return (
    phase === 'admitting' ||
    phase === 'switching' ||
    phase === 'reverting' ||
    phase === 'closing' ||
    phase === 'stopping' ||
    state.tidied < state.departures ||
    state.retiring.some((retirement) => retirement.phase === 'stopping')
  );
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
      return state.stable !== null && phase.candidate !== null;
    default:
      return state.stable !== null;
  }
}
