import { step } from '../../agent/core/deployment.ts';
import type { Effect } from '../../agent/core/effects.ts';
import type { AppEvent } from '../../agent/core/events.ts';
import { type AppState, type Failure, newApp, type Policy } from '../../agent/core/model.ts';
import type { CanaryStep, Rolling } from '../../agent/core/strategy.ts';

export const POLICY: Policy = {
  probeWithinMs: 30_000,
  bakeMs: 120_000,
  warmMs: 600_000,
  requestsMs: 600_000,
  websocketsMs: 600_000,
  pacePerSecond: 50,
  onSwitch: 'keep',
};

export const FAILURE: Failure = {
  code: 'ZDD_GATE_FAILED',
  message: 'it failed',
  evidence: [],
  tries: [],
};

/** Somebody tells the deployment of this number something. */
export function telling(
  deployment: number,
  verb: Extract<AppEvent, { type: 'told' }>['verb'],
  full = false,
): AppEvent {
  return { type: 'told', deployment, verb, failure: FAILURE, ...(full ? { full } : {}) };
}

/** The event that an effect comes back with when all goes well. */
export function success(effect: Effect): AppEvent {
  switch (effect.do) {
    case 'unpack':
      return {
        type: 'unpacked',
        deployment: effect.deployment,
        release: `r${effect.deployment}-abcdef0`,
        hasReleaseCommand: effect.deployment % 2 === 0,
      };
    case 'linger':
      return { type: 'lingered', generation: effect.generation };
    case 'drain':
      return { type: 'drained', generation: effect.retirement.generation };
    case 'stop':
      return { type: 'stopped', generation: effect.generation };
    case 'tidy':
      return { type: 'tidied', departures: effect.departures };
    case 'canary':
      // Only a person leads on from here.
      if (effect.paused) return telling(effect.deployment, 'resume');
      return { type: 'done', deployment: effect.deployment, phase: 'canary', step: effect.index };
    case 'roll': {
      const { deployment, roll } = effect;
      if (roll.doing === 'watch' && roll.paused !== null) {
        return telling(deployment, 'resume');
      }
      const phase = roll.back ? 'returning' : 'rolling';
      return { type: 'done', deployment, phase, step: roll.turn };
    }
    default:
      return { type: 'done', deployment: effect.deployment, phase: PHASE_OF[effect.do] };
  }
}

/** The event that an effect comes back with when it fails; null for those that never report one. */
export function failing(effect: Effect): AppEvent | null {
  switch (effect.do) {
    case 'linger':
    case 'drain':
    case 'stop':
    case 'tidy':
      return null;
    default:
      return {
        type: 'failed',
        deployment: effect.deployment,
        phase: effect.do === 'roll' && effect.roll.back ? 'returning' : PHASE_OF[effect.do],
        failure: FAILURE,
      };
  }
}

export const PHASE_OF = {
  unpack: 'unpacking',
  release: 'releasing',
  clear: 'clearing',
  hold: 'holding',
  return: 'returning',
  start: 'starting',
  probe: 'probing',
  smoke: 'smoking',
  admit: 'admitting',
  shadow: 'shadowing',
  canary: 'canary',
  roll: 'rolling',
  switch: 'switching',
  bake: 'baking',
  promote: 'promoting',
  renew: 'renewing',
  revert: 'reverting',
  close: 'closing',
  empty: 'draining',
  halt: 'stopping',
} as const;

/** Of what may not run beside another release. */
export const ALONE: Policy = { ...POLICY, holdMs: 30_000 };
/** Of what lets its users stay on the release they are on. */
export const STAYING: Policy = { ...POLICY, lingerMs: 600_000 };

export function requested(
  id: number,
  policy: Policy = POLICY,
): Extract<AppEvent, { type: 'requested' }> {
  return {
    type: 'requested',
    id,
    target: { kind: 'artifact', artifact: 'a'.repeat(64) },
    owner: 'me@laptop',
    source: './',
    policy,
  };
}

/** Steps of every kind. */
export const STEPS: readonly CanaryStep[] = [
  { do: 'shadow', share: 0.1, ms: 30_000 },
  { do: 'weight', percent: 5 },
  { do: 'hold', ms: 120_000 },
  { do: 'analyse', withinMs: 600_000 },
  { do: 'smoke' },
  { do: 'approval' },
  { do: 'weight', percent: 50 },
];

export function canaryRequested(id: number): Extract<AppEvent, { type: 'requested' }> {
  const policy: Policy = { ...POLICY, strategy: { kind: 'canary', steps: STEPS } };
  return { ...requested(id), policy };
}

/** One that goes instance by instance. */
export function rollingRequested(
  id: number,
  bounds: Omit<Rolling, 'kind' | 'watchMs'> = { from: 3, to: 3, surge: 1, unavailable: 0 },
): Extract<AppEvent, { type: 'requested' }> {
  const strategy: Rolling = { kind: 'rolling', watchMs: 10_000, ...bounds };
  return { ...requested(id), policy: { ...POLICY, warmMs: 0, strategy } };
}

/** One whose release is to answer copies of live requests before it has traffic. */
export function shadowRequested(id: number): AppEvent {
  return { ...requested(id), policy: { ...POLICY, shadowMs: 30_000 } };
}

/** A deployment of a release that is known already. */
export function again(id: number, kind: 'restart' | 'scale' | 'start', release: string): AppEvent {
  const target =
    kind === 'scale'
      ? ({ kind, release, scale: { web: 1 + (id % 3) } } as const)
      : ({ kind, release } as const);
  return { type: 'requested', id, target, owner: 'me@laptop', source: '', policy: POLICY };
}

/** A restart of web or of the workers, and of nothing else. */
export function restartRequested(
  id: number,
  release: string,
  takesTraffic: boolean,
): Extract<AppEvent, { type: 'requested' }> {
  const part = { processes: [takesTraffic ? 'web' : 'worker'], takesTraffic };
  const policy = { ...POLICY, bakeMs: 0, warmMs: 0 };
  return { ...requested(id, policy), target: { kind: 'restart', release, part } };
}

export function stopRequested(id: number): AppEvent {
  const target = { kind: 'stop' } as const;
  return { type: 'requested', id, target, owner: 'me@laptop', source: '', policy: POLICY };
}

/** Lets every effect succeed until nothing is left to do. */
export function settle(state: AppState, now = 0): AppState {
  let current = step(state, { type: 'tidied', departures: 0 }, now);
  for (let turns = 0; current.effects.length > 0; turns += 1) {
    if (turns > 200) throw new Error(`no way out: ${JSON.stringify(current.state)}`);
    const [effect] = current.effects;
    if (effect === undefined) break;
    current = step(current.state, success(effect), now);
  }
  return current.state;
}

/** An app with `count` successful deployments behind it, all settled. */
export function deployed(count: number): AppState {
  let state = newApp('shop');
  for (let id = 1; id <= count; id += 1) state = settle(step(state, requested(id), 0).state);
  return state;
}
