import { firstStep, nextStep, pauseStep, resumeStep, stepsOf } from './canary.ts';
import { type Effect, effectsOf } from './effects.ts';
import type { AppEvent } from './events.ts';
import {
  type AppState,
  candidateOf,
  type Deployment,
  type Ended,
  type Failure,
  type Generation,
  hasten,
  isAdmitted,
  isExclusive,
  type Outcome,
  type Phase,
  type Policy,
  type Retirement,
  sameGeneration,
} from './model.ts';
import { bringUp, request } from './request.ts';
import { isHeld } from './traffic.ts';

/** What a step leads to. `ended` is set by the step that ends a deployment. */
export interface Step {
  readonly state: AppState;
  readonly effects: readonly Effect[];
  readonly ended: Ended | null;
}

/**
 * Moves an app on by one event. Pure and total: an event that does not fit the state (a late answer
 * of an effect that was given up, a verb that comes too late) changes nothing.
 */
export function step(state: AppState, event: AppEvent, now: number): Step {
  const next = reduce(state, event, now);
  return { state: next.state, effects: effectsOf(next.state), ended: next.ended };
}

type Reduced = Omit<Step, 'effects'>;

/** How much faster than at the pace `onSwitch: close` closes: at once would be a herd. */
const CLOSE_FACTOR = 10;

function reduce(state: AppState, event: AppEvent, now: number): Reduced {
  switch (event.type) {
    case 'requested':
      return same(state.deployment === null ? request(state, event, now) : state);
    case 'unpacked':
    case 'done':
    case 'failed': {
      const { deployment } = state;
      if (deployment === null || deployment.id !== event.deployment) return same(state);
      if (event.type === 'unpacked') return unpacked(state, deployment, event, now);
      if (deployment.phase.name !== event.phase) return same(state);
      if (event.type === 'done' && !isPresentStep(deployment.phase, event.step)) return same(state);
      return event.type === 'done'
        ? advance(state, deployment, now)
        : giveUp(state, deployment, 'failed', event.failure, now);
    }
    case 'paused': {
      const { deployment } = state;
      const phase = deployment?.phase;
      if (deployment?.id !== event.deployment || phase?.name !== 'canary') return same(state);
      if (phase.step !== event.step) return same(state);
      const paused = pauseStep(phase, 'gate', event.reason, now);
      return same({ ...state, deployment: { ...deployment, phase: paused } });
    }
    case 'told':
      return state.deployment === null ? same(state) : told(state, state.deployment, event, now);
    case 'scaled':
      return same(state.deployment === null ? { ...state, scale: event.scale } : state);
    case 'resumed':
      return state.deployment === null ? same(state) : resumed(state, state.deployment, now);
    case 'lingered':
      return same({
        ...state,
        retiring: state.retiring.map((retirement) => {
          if (!sameGeneration(retirement.generation, event.generation)) return retirement;
          const { lingersUntil: _, ...moved } = retirement;
          return { ...moved, lingered: true };
        }),
      });
    case 'drained':
      return same({
        ...state,
        retiring: state.retiring.map((retirement) =>
          sameGeneration(retirement.generation, event.generation)
            ? { ...retirement, phase: 'stopping' }
            : retirement,
        ),
      });
    case 'stopped': {
      const retiring = state.retiring.filter(
        ({ generation, phase }) =>
          phase !== 'stopping' || !sameGeneration(generation, event.generation),
      );
      return same({
        ...state,
        retiring,
        departures: state.departures + (state.retiring.length - retiring.length),
      });
    }
    case 'tidied':
      return same({ ...state, tidied: Math.max(state.tidied, event.departures) });
  }
}

function isPresentStep(phase: Phase, step: number | undefined): boolean {
  return phase.name !== 'canary' || phase.step === step;
}

function same(state: AppState): Reduced {
  return { state, ended: null };
}

function unpacked(
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
function advance(state: AppState, deployment: Deployment, now: number): Reduced {
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
    case 'closing':
      return closed(state, deployment, phase, now);
    case 'draining':
      return to({ name: 'stopping', leaving: phase.leaving });
    case 'stopping':
      return stop(state, deployment, phase, now);
    case 'returning':
      return to({ ...phase, name: 'reverting', attempt: 1 });
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

function succeed(
  state: AppState,
  deployment: Deployment,
  phase: Extract<Phase, { name: 'promoting' }>,
  now: number,
): Reduced {
  const { policy } = deployment;
  const replaced: Retirement[] =
    state.stable === null || sameGeneration(state.stable, phase.candidate)
      ? []
      : [
          {
            generation: state.stable,
            // What may not run beside the candidate has stopped before.
            phase: isExclusive(deployment) ? 'stopping' : 'draining',
            admitted: true,
            warmUntil: phase.switchedAt + policy.warmMs,
            ...goodbye(policy, phase.switchedAt, now),
            ...linger(deployment, phase.switchedAt),
            good: true,
          },
        ];
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

/** The way back, from wherever the deployment stands. Stable keeps, or gets back, all traffic. */
function giveUp(
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
    case 'stopping':
      // Its instances have been told to end: only a start leads on from here.
      return same(state);
    case 'canary':
    case 'switching':
    case 'baking':
    case 'promoting':
    case 'closing':
    case 'draining': {
      const candidate = candidateOf(phase);
      const moved = outcome === 'failed' && trafficMoved(phase) ? 'rolled_back' : outcome;
      if (candidate !== null && deployment.heldSince !== undefined) {
        return giveBack(state, deployment, candidate, moved, failure);
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

function told(
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
        trafficMoved(phase) ? 'rolled_back' : 'aborted',
        event.failure,
        now,
      );
    case 'promote':
      if (phase.name === 'baking') return advance(state, deployment, now);
      return same({ ...state, deployment: promoted(deployment, event.full === true, now) });
    case 'pause':
    case 'resume': {
      if (phase.name !== 'canary') return same(state);
      const next =
        event.verb === 'pause'
          ? pauseStep(phase, 'person', event.failure.message, now)
          : resumeStep(deployment, phase, now);
      return same({ ...state, deployment: { ...deployment, phase: next } });
    }
  }
}

/** One step on, or, in full, past all that is left and past the bake. */
function promoted(deployment: Deployment, full: boolean, now: number): Deployment {
  const { phase, policy } = deployment;
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

/**
 * While the daemon was away nobody watched the candidate: its bake, or its step, begins anew. Nor did
 * anybody bring it up: it has as much time as before, now that others wait than did then.
 */
function resumed(state: AppState, deployment: Deployment, now: number): Reduced {
  const { phase, policy, heldSince } = deployment;
  if (heldSince !== undefined && isHeld(state)) {
    return same({ ...state, deployment: { ...deployment, heldSince: now } });
  }
  if (phase.name === 'canary' && phase.paused === null) {
    return same({ ...state, deployment: { ...deployment, phase: { ...phase, since: now } } });
  }
  if (phase.name !== 'baking') return same(state);
  const baking: Phase = { ...phase, until: now + policy.bakeMs };
  return same({ ...state, deployment: { ...deployment, phase: baking } });
}

/** Whether some new requests may have gone elsewhere than to stable by now: to a candidate, or nowhere. */
export function trafficMoved(phase: Phase): boolean {
  if (phase.name === 'canary') return phase.percent > 0;
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

/**
 * A new release beside one that has traffic to copy: nothing that has served is tried out again, and
 * while requests are held there is nothing to copy.
 */
function isShadowed({ stable }: AppState, { kind, policy, heldSince }: Deployment): boolean {
  const wanted = kind === 'deploy' && (policy.shadowMs ?? 0) > 0;
  return wanted && stable !== null && heldSince === undefined;
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

/** A candidate on its way out. What HAProxy knows leaves by the same door as every release. */
function reject(
  deployment: Deployment,
  generation: Generation,
  admitted: boolean,
  now: number,
): Retirement {
  const { policy, heldSince } = deployment;
  return {
    generation,
    phase: admitted && heldSince === undefined ? 'draining' : 'stopping',
    admitted,
    warmUntil: now,
    ...goodbye(policy, now, now),
    good: false,
  };
}

/** Users who stay have requests that begin after the switch: these have their own time. */
function linger(
  deployment: Deployment,
  switchedAt: number,
): Partial<Pick<Retirement, 'lingersUntil' | 'requestsUntil'>> {
  const { lingerMs, requestsMs } = deployment.policy;
  if (lingerMs === undefined || isExclusive(deployment)) return {};
  const lingersUntil = switchedAt + lingerMs;
  return { lingersUntil, requestsUntil: lingersUntil + requestsMs };
}

/** How the connections of a generation end that takes no new requests since `switchedAt`. */
function goodbye(
  policy: Policy,
  switchedAt: number,
  now: number,
): Pick<Retirement, 'requestsUntil' | 'requestsMs' | 'closeFrom' | 'pacePerSecond'> {
  const { requestsMs, websocketsMs, pacePerSecond, onSwitch } = policy;
  const deadline = switchedAt + websocketsMs;
  return {
    requestsUntil: switchedAt + requestsMs,
    requestsMs,
    closeFrom: onSwitch === 'pace' || onSwitch === 'close' ? Math.min(now, deadline) : deadline,
    pacePerSecond: onSwitch === 'close' ? pacePerSecond * CLOSE_FACTOR : pacePerSecond,
  };
}

function end(
  state: AppState,
  deployment: Deployment,
  outcome: Outcome,
  failure: Failure | null,
  retired: readonly Retirement[],
): Reduced {
  return {
    state: {
      ...state,
      deployment: null,
      retiring: [...state.retiring, ...retired],
      departures: state.departures + 1,
    },
    ended: { deployment, outcome, failure },
  };
}

/** The candidate of the running deployment, if it has one. */
export function currentCandidate(state: AppState): Generation | null {
  return state.deployment === null ? null : candidateOf(state.deployment.phase);
}
