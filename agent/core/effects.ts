import { stepsOf } from './canary.ts';
import {
  type AppState,
  atOnce,
  type Deployment,
  type Generation,
  type Policy,
  type Retirement,
} from './model.ts';
import type { Roll } from './roll.ts';
import type { CanaryStep } from './strategy.ts';

/** Something to be done in the world. Every effect is idempotent: after a crash it is done again. */
export type Effect =
  | { readonly do: 'unpack'; readonly deployment: number; readonly artifact: string }
  | { readonly do: 'release'; readonly deployment: number; readonly candidate: Generation }
  /** The two with which one release makes place for another that may not run beside it, */
  | { readonly do: 'clear'; readonly deployment: number; readonly stable: Generation | null }
  | {
      readonly do: 'hold';
      readonly deployment: number;
      readonly leaving: Generation;
      readonly policy: Policy;
      readonly since: number;
    }
  /** and the way back. */
  | {
      readonly do: 'return';
      readonly deployment: number;
      readonly candidate: Generation;
      readonly previous: Generation | null;
      readonly policy: Policy;
      readonly attempt: number;
    }
  | { readonly do: 'start'; readonly deployment: number; readonly candidate: Generation }
  | { readonly do: 'probe'; readonly deployment: number; readonly candidate: Generation }
  | { readonly do: 'smoke'; readonly deployment: number; readonly candidate: Generation }
  | { readonly do: 'admit'; readonly deployment: number; readonly candidate: Generation }
  | { readonly do: 'shadow'; readonly deployment: number; readonly candidate: Generation }
  | {
      readonly do: 'canary';
      readonly deployment: number;
      readonly candidate: Generation;
      readonly index: number;
      readonly step: CanaryStep;
      readonly percent: number;
      readonly since: number;
      readonly weighedAt: number;
      /** It is watched, and nothing else. */
      readonly paused: boolean;
    }
  /** One step of a rolling deployment, there or back. */
  | {
      readonly do: 'roll';
      readonly deployment: number;
      readonly candidate: Generation;
      readonly previous: Generation;
      readonly roll: Roll;
      readonly attempt: number;
    }
  | { readonly do: 'switch'; readonly deployment: number; readonly candidate: Generation }
  | {
      readonly do: 'bake';
      readonly deployment: number;
      readonly candidate: Generation;
      readonly until: number;
    }
  | {
      readonly do: 'promote';
      readonly deployment: number;
      readonly candidate: Generation;
      readonly previous: Generation | null;
    }
  | {
      readonly do: 'renew';
      readonly deployment: number;
      readonly generation: Generation;
      readonly processes: readonly string[];
    }
  | {
      readonly do: 'revert';
      readonly deployment: number;
      readonly candidate: Generation | null;
      readonly previous: Generation | null;
      readonly attempt: number;
    }
  /** The three of a stop. */
  | { readonly do: 'close'; readonly deployment: number; readonly leaving: Generation }
  | { readonly do: 'empty'; readonly deployment: number; readonly retirement: Retirement }
  | { readonly do: 'halt'; readonly deployment: number; readonly leaving: Generation }
  | { readonly do: 'linger'; readonly generation: Generation; readonly until: number }
  | { readonly do: 'drain'; readonly retirement: Retirement }
  | { readonly do: 'stop'; readonly generation: Generation }
  | { readonly do: 'tidy'; readonly departures: number };

/**
 * The effects that belong to a state, and so the whole of what shall be under way in it. Whoever
 * performs them ends those that are no longer in the list and begins those that are new: that alone
 * makes abort, rollback and recovery after a crash the same thing.
 */
export function effectsOf(state: AppState): Effect[] {
  const effects: Effect[] = [];
  if (state.deployment !== null) effects.push(...deploymentEffects(state, state.deployment));
  for (const retirement of state.retiring) {
    const { generation, phase, lingersUntil } = retirement;
    if (phase === 'stopping') effects.push({ do: 'stop', generation });
    else if (lingersUntil === undefined) effects.push({ do: 'drain', retirement });
    else effects.push({ do: 'linger', generation, until: lingersUntil });
  }
  if (state.tidied < state.departures) {
    effects.push({ do: 'tidy', departures: state.departures });
  }
  return effects;
}

function deploymentEffects(state: AppState, whole: NonNullable<AppState['deployment']>): Effect[] {
  const { id, artifact, phase, policy, heldSince = 0 } = whole;
  const deployment = id;
  const previous = state.stable;
  switch (phase.name) {
    case 'unpacking':
      return artifact === null ? [] : [{ do: 'unpack', deployment, artifact }];
    case 'releasing':
      return [{ do: 'release', deployment, candidate: phase.candidate }];
    case 'clearing':
      return [{ do: 'clear', deployment, stable: previous }];
    case 'holding':
      return previous === null
        ? []
        : [{ do: 'hold', deployment, leaving: previous, policy, since: heldSince }];
    case 'returning': {
      const { candidate, attempt } = phase;
      if (whole.roll !== undefined)
        return rollEffects(state, whole.roll, whole, candidate, attempt);
      return [{ do: 'return', deployment, candidate, previous, policy, attempt }];
    }
    case 'starting':
      return [{ do: 'start', deployment, candidate: phase.candidate }];
    case 'probing':
      return [{ do: 'probe', deployment, candidate: phase.candidate }];
    case 'smoking':
      return [{ do: 'smoke', deployment, candidate: phase.candidate }];
    case 'admitting':
      return [{ do: 'admit', deployment, candidate: phase.candidate }];
    case 'shadowing':
      return [{ do: 'shadow', deployment, candidate: phase.candidate }];
    case 'canary': {
      const { candidate, step: index, percent, since, weighedAt } = phase;
      const step = stepsOf(whole)[index];
      if (step === undefined) return [];
      const paused = phase.paused !== null;
      return [
        { do: 'canary', deployment, candidate, index, step, percent, since, weighedAt, paused },
      ];
    }
    case 'rolling':
      return whole.roll === undefined
        ? []
        : rollEffects(state, whole.roll, whole, phase.candidate, 1);
    case 'switching':
      return [{ do: 'switch', deployment, candidate: phase.candidate }];
    case 'baking':
      return [{ do: 'bake', deployment, candidate: phase.candidate, until: phase.until }];
    case 'promoting':
      return [{ do: 'promote', deployment, candidate: phase.candidate, previous }];
    case 'renewing': {
      const { processes = [] } = whole.part ?? {};
      return [{ do: 'renew', deployment, generation: phase.generation, processes }];
    }
    case 'closing':
      return [{ do: 'close', deployment, leaving: phase.leaving }];
    case 'draining':
      return [{ do: 'empty', deployment, retirement: atOnce(phase.leaving, policy, phase.since) }];
    case 'stopping':
      return [{ do: 'halt', deployment, leaving: phase.leaving }];
    case 'reverting':
      return [
        {
          do: 'revert',
          deployment,
          candidate: phase.candidate,
          previous,
          attempt: phase.attempt,
        },
      ];
  }
}

function rollEffects(
  { stable }: AppState,
  roll: Roll,
  { id }: Pick<Deployment, 'id'>,
  candidate: Generation,
  attempt: number,
): Effect[] {
  if (stable === null) return [];
  // That it shall pause later is no reason to begin the present step anew.
  const told = roll.doing === 'watch' ? roll : { ...roll, paused: null };
  return [{ do: 'roll', deployment: id, candidate, previous: stable, roll: told, attempt }];
}
