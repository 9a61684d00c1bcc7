import type { AppEvent, Target } from './events.ts';
import {
  type AppState,
  type Deployment,
  type DeploymentKind,
  type Generation,
  hasten,
  type Phase,
  sameGeneration,
} from './model.ts';
import { firstRoll } from './roll.ts';

/** The state in which a deployment has begun; the same when its target is not what it says it is. */
export function request(
  state: AppState,
  event: Extract<AppEvent, { type: 'requested' }>,
  now: number,
): AppState {
  const { id, target, owner, source, policy } = event;
  const phase = firstPhase(state, id, target);
  if (phase === null) return state;
  const deployment: Deployment = {
    id,
    kind: kindOf(target),
    artifact: target.kind === 'artifact' ? target.artifact : null,
    owner,
    source,
    startedAt: now,
    policy,
    scale: target.kind === 'scale' ? target.scale : state.scale,
    phase,
    ...(target.kind === 'restart' && target.part !== undefined ? { part: target.part } : {}),
  };
  const retiring =
    target.kind === 'warm'
      ? state.retiring.filter(({ generation }) => !sameGeneration(generation, target.generation))
      : state.retiring;
  const begun = { ...state, deployment, retiring };
  return phase.name === 'starting' ? bringUp(begun, deployment, phase.candidate, now) : begun;
}

/**
 * The candidate starts, whole or its first instances; where it may not run beside others, these make
 * place first.
 */
export function bringUp(
  state: AppState,
  deployment: Deployment,
  candidate: Generation,
  now: number,
): AppState {
  const { policy } = deployment;
  if (policy.holdMs === undefined) {
    // What comes back warm has all its instances, and the very first release has nobody to share with.
    const fresh = state.stable !== null && candidate.deployment === deployment.id;
    const rolling = policy.strategy?.kind === 'rolling' && fresh ? policy.strategy : null;
    const roll = rolling === null ? null : firstRoll(rolling, now);
    if (roll !== null) {
      const phase: Phase = { name: 'rolling', candidate };
      return { ...state, deployment: { ...deployment, phase, roll } };
    }
    return { ...state, deployment: { ...deployment, phase: { name: 'starting', candidate } } };
  }
  return {
    ...state,
    deployment: { ...deployment, phase: { name: 'clearing', candidate } },
    retiring: hasten(state.retiring, policy, now),
  };
}

function kindOf(target: Target): DeploymentKind {
  switch (target.kind) {
    case 'artifact':
      return 'deploy';
    case 'retry':
      return 'deploy';
    case 'release':
    case 'warm':
      return 'rollback';
    default:
      return target.kind;
  }
}

/** Where a deployment begins; null when its target is not, or no longer, what it says it is. */
function firstPhase(state: AppState, id: number, target: Target): Phase | null {
  const { stable, stopped } = state;
  const fresh = (release: string): Phase => ({
    name: 'starting',
    candidate: { release, deployment: id },
  });
  switch (target.kind) {
    case 'artifact':
      return { name: 'unpacking' };
    case 'release':
      return fresh(target.release);
    case 'warm':
      // Never without a look at its health, however warm it is.
      return isWarm(state, target.generation)
        ? { name: 'probing', candidate: target.generation }
        : null;
    case 'restart':
      if (stable === null || stable.release !== target.release) return null;
      return target.part?.takesTraffic === false
        ? { name: 'renewing', generation: stable }
        : fresh(target.release);
    case 'scale':
      return stable?.release === target.release ? fresh(target.release) : null;
    case 'start':
      return stopped?.release === target.release ? fresh(target.release) : null;
    case 'retry':
      return target.hasReleaseCommand
        ? { name: 'releasing', candidate: { release: target.release, deployment: id } }
        : fresh(target.release);
    case 'stop':
      return stable === null ? null : { name: 'closing', leaving: stable };
  }
}

/** Whether this generation can take traffic back at once. */
export function isWarm(state: AppState, wanted: Generation): boolean {
  return state.retiring.some(
    ({ generation, phase }) => phase === 'draining' && sameGeneration(generation, wanted),
  );
}

/** What people type to have such a deployment again: `restart`, `scale web=3`. */
export function commandOf({ kind, scale, part }: Deployment): string {
  switch (kind) {
    case 'restart':
      return ['restart', ...(part?.processes ?? [])].join(' ');
    case 'deploy':
      return 'push';
    case 'scale':
      return [
        'scale',
        ...Object.entries(scale).map(([process, count]) => `${process}=${count}`),
      ].join(' ');
    default:
      return kind;
  }
}
