import { reject } from './farewell.ts';
import {
  type AppState,
  candidateOf,
  type Deployment,
  type Failure,
  type Generation,
  isAdmitted,
  type Outcome,
  type Phase,
} from './model.ts';
import { end, type Reduced, same } from './reduced.ts';
import { isUntouched, turnBack } from './roll.ts';

/** The way back, from wherever the deployment stands. Stable keeps, or gets back, all traffic. */
export function giveUp(
  state: AppState,
  deployment: Deployment,
  outcome: Exclude<Outcome, 'succeeded'>,
  failure: Failure,
  now: number,
): Reduced {
  const { phase } = deployment;
  switch (phase.name) {
    case 'unpacking':
    case 'releasing':
    case 'clearing':
      return end(state, deployment, outcome, failure, []);
    case 'holding':
      return giveBack(state, deployment, phase.candidate, outcome, failure);
    case 'starting':
    case 'probing':
    case 'smoking':
    case 'admitting':
    case 'shadowing':
      if (deployment.heldSince !== undefined) {
        return giveBack(state, deployment, phase.candidate, outcome, failure);
      }
      return end(state, deployment, outcome, failure, [
        reject(deployment, phase.candidate, isAdmitted(deployment), now),
      ]);
    case 'rolling':
      if (deployment.roll !== undefined && isUntouched(deployment.roll)) {
        return end(state, deployment, outcome, failure, [
          reject(deployment, phase.candidate, false, now),
        ]);
      }
      return rollBack(
        state,
        deployment,
        phase.candidate,
        outcome === 'failed' ? 'rolled_back' : outcome,
        failure,
        now,
      );
    case 'stopping':
      // Its instances have been told to end: only a start leads on from here.
      return same(state);
    case 'canary':
    case 'switching':
    case 'baking':
    case 'promoting':
    case 'renewing':
    case 'closing':
    case 'draining': {
      const candidate = candidateOf(phase);
      const moved = outcome === 'failed' && trafficMoved(deployment) ? 'rolled_back' : outcome;
      if (candidate !== null && deployment.heldSince !== undefined) {
        return giveBack(state, deployment, candidate, moved, failure);
      }
      if (candidate !== null && deployment.roll !== undefined) {
        return rollBack(state, deployment, candidate, moved, failure, now);
      }
      return same({
        ...state,
        deployment: {
          ...deployment,
          phase: { name: 'reverting', candidate, outcome: moved, failure, attempt: 1 },
        },
      });
    }
    case 'returning':
    case 'reverting':
      // The only way out is back: try again until HAProxy answers.
      return same({
        ...state,
        deployment: { ...deployment, phase: { ...phase, attempt: phase.attempt + 1 } },
      });
  }
}

/** The candidate may not run beside stable: it has to stop before stable can start again. */
function giveBack(
  state: AppState,
  deployment: Deployment,
  candidate: Generation,
  outcome: Exclude<Outcome, 'succeeded'>,
  failure: Failure,
): Reduced {
  const { name } = deployment.phase;
  const baked = name === 'baking' || name === 'promoting';
  const phase: Phase = { name: 'returning', candidate, outcome, failure, attempt: 1, baked };
  return same({ ...state, deployment: { ...deployment, phase } });
}

/** The instances of stable come back as they have left: a few at a time. */
function rollBack(
  state: AppState,
  deployment: Deployment,
  candidate: Generation,
  outcome: Exclude<Outcome, 'succeeded'>,
  failure: Failure,
  now: number,
): Reduced {
  const { roll, policy } = deployment;
  const turned =
    roll === undefined || policy.strategy?.kind !== 'rolling'
      ? null
      : turnBack(policy.strategy, roll, now);
  const way = { candidate, outcome, failure, attempt: 1 };
  const next: Deployment =
    turned === null
      ? { ...deployment, phase: { name: 'reverting', ...way } }
      : { ...deployment, phase: { name: 'returning', ...way }, roll: turned };
  return same({ ...state, deployment: next });
}

/** Whether some new requests may have gone elsewhere than to stable by now: to a candidate, or nowhere. */
export function trafficMoved({ phase, roll }: Pick<Deployment, 'phase' | 'roll'>): boolean {
  if (phase.name === 'canary') return phase.percent > 0;
  if (phase.name === 'rolling') return roll !== undefined && !isUntouched(roll);
  return [
    'switching',
    'baking',
    'promoting',
    'closing',
    'draining',
    'returning',
    'reverting',
  ].includes(phase.name);
}
