import { firstStep, nextStep, stepsOf } from './canary.ts';
import type { AppEvent } from './events.ts';
import { reject, replace } from './farewell.ts';
import {
  type AppState,
  type Deployment,
  type Generation,
  hasten,
  type Phase,
  type Retirement,
  sameGeneration,
} from './model.ts';
import { end, type Reduced, same } from './reduced.ts';
import { bringUp } from './request.ts';
import { nextRoll } from './roll.ts';

/** The release is there: its release command comes next, or its start. */
export function unpacked(
  state: AppState,
  deployment: Deployment,
  event: Extract<AppEvent, { type: 'unpacked' }>,
  now: number,
): Reduced {
  if (deployment.phase.name !== 'unpacking') return same(state);
  const candidate: Generation = { release: event.release, deployment: deployment.id };
  if (!event.hasReleaseCommand) return same(bringUp(state, deployment, candidate, now));
  const phase: Phase = { name: 'releasing', candidate };
  return same({ ...state, deployment: { ...deployment, phase } });
}

/** The way forward: what follows a phase whose effect was done. */
export function advance(state: AppState, deployment: Deployment, now: number): Reduced {
  const { phase, policy } = deployment;
  const to = (next: Phase): Reduced =>
    same({ ...state, deployment: { ...deployment, phase: next } });
  switch (phase.name) {
    case 'unpacking':
      // Only `unpacked`, which names the release, leads on from here.
      return same(state);
    case 'releasing':
      return same(bringUp(state, deployment, phase.candidate, now));
    case 'clearing':
      return same(hold(state, deployment, phase.candidate, now));
    case 'holding':
      return to({ name: 'starting', candidate: phase.candidate });
    case 'starting':
      return to({ name: 'probing', candidate: phase.candidate });
    case 'probing':
      return to({ name: 'smoking', candidate: phase.candidate });
    case 'smoking':
      return to({ name: 'admitting', candidate: phase.candidate });
    case 'admitting':
      return to(
        isShadowed(state, deployment)
          ? { name: 'shadowing', candidate: phase.candidate }
          : withTraffic(state, deployment, phase.candidate, now),
      );
    case 'shadowing':
      return to(withTraffic(state, deployment, phase.candidate, now));
    case 'canary':
      return phase.paused === null ? to(nextStep(deployment, phase, now)) : same(state);
    case 'rolling':
      return deployment.roll?.doing === 'watch' && deployment.roll.paused !== null
        ? same(state)
        : same({ ...state, deployment: rolledOn(deployment, phase.candidate, now) });
    case 'switching':
      return to({
        name: 'baking',
        candidate: phase.candidate,
        switchedAt: now,
        until: now + policy.bakeMs,
      });
    case 'baking':
      return to({
        name: 'promoting',
        candidate: phase.candidate,
        switchedAt: phase.switchedAt,
      });
    case 'promoting':
      return succeed(state, deployment, phase, now);
    case 'renewing':
      return end(state, deployment, 'succeeded', null, []);
    case 'closing':
      return closed(state, deployment, phase, now);
    case 'draining':
      return to({ name: 'stopping', leaving: phase.leaving });
    case 'stopping':
      return stop(state, deployment, phase, now);
    case 'returning':
      return same({ ...state, deployment: cameBack(deployment, phase, now) });
    case 'reverting':
      return end(
        state,
        deployment,
        phase.outcome,
        phase.failure,
        phase.candidate === null ? [] : [reject(deployment, phase.candidate, true, now)],
      );
  }
}

/** Nothing older runs any more. Without a stable there is nothing to wait for. */
function hold(
  state: AppState,
  deployment: Deployment,
  candidate: Generation,
  now: number,
): AppState {
  const next: Deployment =
    state.stable === null
      ? { ...deployment, phase: { name: 'starting', candidate } }
      : { ...deployment, phase: { name: 'holding', candidate }, heldSince: now };
  return { ...state, deployment: next };
}

/**
 * A new release beside one that has traffic to copy: nothing that has served is tried out again, and
 * while requests are held there is nothing to copy.
 */
function isShadowed({ stable }: AppState, deployment: Deployment): boolean {
  const { kind, policy, heldSince } = deployment;
  const wanted = kind === 'deploy' && (policy.shadowMs ?? 0) > 0;
  // Steps that say when are obeyed.
  const later = stepsOf(deployment).some((step) => step.do === 'shadow');
  return wanted && !later && stable !== null && heldSince === undefined;
}

/** The next step of a rolling deployment; after the last its bake begins. */
export function rolledOn(deployment: Deployment, candidate: Generation, now: number): Deployment {
  const { policy, roll } = deployment;
  const { strategy, bakeMs } = policy;
  const next =
    roll === undefined || strategy?.kind !== 'rolling'
      ? null
      : nextRoll(strategy, { ...roll, paused: roll.doing === 'watch' ? null : roll.paused }, now);
  if (next !== null) return { ...deployment, roll: next };
  const phase: Phase = { name: 'baking', candidate, switchedAt: now, until: now + bakeMs };
  return { ...deployment, phase };
}

/** Stable runs again, whole or a few instances more of it. */
function cameBack(
  deployment: Deployment,
  phase: Extract<Phase, { name: 'returning' }>,
  now: number,
): Deployment {
  const { roll, policy } = deployment;
  const next =
    roll === undefined || policy.strategy?.kind !== 'rolling'
      ? null
      : nextRoll(policy.strategy, roll, now);
  return next === null
    ? { ...deployment, phase: { ...phase, name: 'reverting', attempt: 1 } }
    : { ...deployment, phase: { ...phase, attempt: 1 }, roll: next };
}

/** How a candidate gets its first user: with all the others, or by steps. */
function withTraffic(
  { stable }: AppState,
  deployment: Deployment,
  candidate: Generation,
  now: number,
): Phase {
  // The very first release has nobody to be compared with, and no users to share.
  return stable === null || stepsOf(deployment).length === 0
    ? { name: 'switching', candidate }
    : firstStep(deployment, candidate, now);
}

function succeed(
  state: AppState,
  deployment: Deployment,
  phase: Extract<Phase, { name: 'promoting' }>,
  now: number,
): Reduced {
  const replaced: Retirement[] =
    state.stable === null || sameGeneration(state.stable, phase.candidate)
      ? []
      : [replace(deployment, state.stable, phase.switchedAt, now)];
  const ended = end(state, deployment, 'succeeded', null, replaced);
  return {
    ...ended,
    state: { ...ended.state, stable: phase.candidate, stopped: null, scale: deployment.scale },
  };
}

/** Nothing new comes in. What was warm shall go as well: there will be no way back to it. */
function closed(
  state: AppState,
  deployment: Deployment,
  { leaving }: Extract<Phase, { name: 'closing' }>,
  now: number,
): Reduced {
  return same({
    ...state,
    deployment: { ...deployment, phase: { name: 'draining', leaving, since: now } },
    retiring: hasten(state.retiring, deployment.policy, now),
  });
}

/** The one place where a serving generation is taken away and none takes over. */
function stop(
  state: AppState,
  deployment: Deployment,
  { leaving: { release } }: Extract<Phase, { name: 'stopping' }>,
  now: number,
): Reduced {
  const { id, owner } = deployment;
  const ended = end(state, deployment, 'succeeded', null, []);
  return {
    ...ended,
    state: { ...ended.state, stable: null, stopped: { release, deployment: id, owner, at: now } },
  };
}
