import { advance, unpacked } from './advance.ts';
import { pauseStep } from './canary.ts';
import { type Effect, effectsOf } from './effects.ts';
import type { AppEvent } from './events.ts';
import {
  type AppState,
  candidateOf,
  type Deployment,
  type Generation,
  type Phase,
  sameGeneration,
} from './model.ts';
import type { Paused } from './paused.ts';
import { type Reduced, same } from './reduced.ts';
import { request } from './request.ts';
import { told } from './told.ts';
import { isHeld } from './traffic.ts';
import { giveUp } from './way-back.ts';

/** What a step leads to. */
export interface Step extends Reduced {
  readonly effects: readonly Effect[];
}

/**
 * Moves an app on by one event. Pure and total: an event that does not fit the state (a late answer
 * of an effect that was given up, a verb that comes too late) changes nothing.
 */
export function step(state: AppState, event: AppEvent, now: number): Step {
  const next = reduce(state, event, now);
  return { state: next.state, effects: effectsOf(next.state), ended: next.ended };
}

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
      if (event.type === 'done' && !isPresentStep(deployment, event.step)) return same(state);
      return event.type === 'done'
        ? advance(state, deployment, now)
        : giveUp(state, deployment, 'failed', event.failure, now);
    }
    case 'paused':
      return state.deployment?.id === event.deployment
        ? same(paused(state, state.deployment, event, now))
        : same(state);
    case 'told':
      return state.deployment?.id === event.deployment
        ? told(state, state.deployment, event, now)
        : same(state);
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

function isPresentStep({ phase, roll }: Deployment, step: number | undefined): boolean {
  switch (phase.name) {
    case 'canary':
      return phase.step === step;
    case 'rolling':
    case 'returning':
      return roll?.turn === step;
    default:
      return true;
  }
}

/** A gate cannot tell, or says that somebody should look: it stays as it is. */
function paused(
  state: AppState,
  deployment: Deployment,
  { step, reason }: Extract<AppEvent, { type: 'paused' }>,
  now: number,
): AppState {
  const { phase, roll } = deployment;
  if (!isPresentStep(deployment, step)) return state;
  if (phase.name === 'canary') {
    return {
      ...state,
      deployment: { ...deployment, phase: pauseStep(phase, 'gate', reason, now) },
    };
  }
  if (phase.name !== 'rolling' || roll === undefined || roll.paused !== null) return state;
  const held: Paused = { by: 'gate', reason, at: now };
  return { ...state, deployment: { ...deployment, roll: { ...roll, paused: held } } };
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
  const { roll } = deployment;
  if (phase.name === 'rolling' && roll?.doing === 'watch' && roll.paused === null) {
    return same({ ...state, deployment: { ...deployment, roll: { ...roll, since: now } } });
  }
  if (phase.name !== 'baking') return same(state);
  const baking: Phase = { ...phase, until: now + policy.bakeMs };
  return same({ ...state, deployment: { ...deployment, phase: baking } });
}

/** The candidate of the running deployment, if it has one. */
export function currentCandidate(state: AppState): Generation | null {
  return state.deployment === null ? null : candidateOf(state.deployment.phase);
}
