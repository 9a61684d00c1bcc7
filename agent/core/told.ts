import { advance, rolledOn } from './advance.ts';
import { nextStep, pauseStep, resumeStep, stepsOf } from './canary.ts';
import type { AppEvent } from './events.ts';
import type { AppState, Deployment, Generation } from './model.ts';
import type { Paused } from './paused.ts';
import { type Reduced, same } from './reduced.ts';
import { giveUp, trafficMoved } from './way-back.ts';

/** What somebody says to a deployment that runs: a verb that does not fit its phase changes nothing. */
export function told(
  state: AppState,
  deployment: Deployment,
  event: Extract<AppEvent, { type: 'told' }>,
  now: number,
): Reduced {
  const { phase } = deployment;
  if (phase.name === 'returning' || phase.name === 'reverting') return same(state);
  switch (event.verb) {
    case 'abort':
      return giveUp(state, deployment, 'aborted', event.failure, now);
    case 'rollback':
      return giveUp(
        state,
        deployment,
        trafficMoved(deployment) ? 'rolled_back' : 'aborted',
        event.failure,
        now,
      );
    case 'promote':
      if (phase.name === 'baking') return advance(state, deployment, now);
      return same({ ...state, deployment: promoted(deployment, event.full === true, now) });
    case 'pause':
    case 'resume': {
      if (phase.name === 'rolling') {
        return same({ ...state, deployment: steered(deployment, phase.candidate, event, now) });
      }
      if (phase.name !== 'canary') return same(state);
      const next =
        event.verb === 'pause'
          ? pauseStep(phase, 'person', event.failure.message, now)
          : resumeStep(deployment, phase, now);
      return same({ ...state, deployment: { ...deployment, phase: next } });
    }
  }
}

/** A rolling deployment that shall stay after its present batch, or go on. */
function steered(
  deployment: Deployment,
  candidate: Generation,
  { verb, failure }: Extract<AppEvent, { type: 'told' }>,
  now: number,
): Deployment {
  const { roll } = deployment;
  if (roll === undefined) return deployment;
  const { paused, since, doing } = roll;
  if (verb === 'pause') {
    const told: Paused = { by: 'person', reason: failure.message, at: now };
    return { ...deployment, roll: { ...roll, paused: paused ?? told } };
  }
  if (paused === null) return deployment;
  // What a gate has asked is answered by this.
  if (paused.by === 'gate' && doing === 'watch') return rolledOn(deployment, candidate, now);
  const left = doing === 'watch' ? since + (now - paused.at) : since;
  return { ...deployment, roll: { ...roll, since: left, paused: null } };
}

/** One step on, or, in full, past all that is left and past the bake. */
function promoted(deployment: Deployment, full: boolean, now: number): Deployment {
  const { phase, policy } = deployment;
  if (policy.strategy?.kind === 'rolling') {
    const { strategy } = policy;
    const hastened = full
      ? { ...deployment, policy: { ...policy, bakeMs: 0, strategy: { ...strategy, watchMs: 0 } } }
      : deployment;
    return phase.name === 'rolling' && deployment.roll?.doing === 'watch'
      ? rolledOn(hastened, phase.candidate, now)
      : hastened;
  }
  if (!full && stepsOf(deployment).length > 0) {
    return phase.name === 'canary'
      ? { ...deployment, phase: nextStep(deployment, phase, now) }
      : deployment;
  }
  const shadowMs = full ? 0 : (policy.shadowMs ?? 0);
  const past = phase.name === 'canary' || (full && phase.name === 'shadowing');
  return {
    ...deployment,
    policy: { ...policy, bakeMs: 0, shadowMs, strategy: { kind: 'blue-green' } },
    phase: past ? { name: 'switching', candidate: phase.candidate } : phase,
  };
}
