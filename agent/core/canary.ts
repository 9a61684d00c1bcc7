import type { Deployment, Generation, Phase } from './model.ts';
import type { CanaryStep } from './strategy.ts';

export type CanaryPhase = Extract<Phase, { name: 'canary' }>;

/** The steps of a deployment; none: all at once, as where the two may not run side by side. */
export function stepsOf({ policy: { strategy, holdMs } }: Deployment): readonly CanaryStep[] {
  return strategy?.kind === 'canary' && holdMs === undefined ? strategy.steps : [];
}

/** The first step, with a candidate that HAProxy knows and nobody is sent to. */
export function firstStep(deployment: Deployment, candidate: Generation, now: number): Phase {
  return stepAt(
    deployment,
    { name: 'canary', candidate, step: 0, percent: 0, since: now, weighedAt: now, paused: null },
    0,
    now,
  );
}

/** What follows a step that was done, or that somebody has had enough of. */
export function nextStep(deployment: Deployment, phase: CanaryPhase, now: number): Phase {
  return stepAt(deployment, phase, phase.step + 1, now);
}

function stepAt(deployment: Deployment, phase: CanaryPhase, index: number, now: number): Phase {
  const step = stepsOf(deployment)[index];
  if (step === undefined) return { name: 'switching', candidate: phase.candidate };
  const weighed = step.do === 'weight';
  return {
    ...phase,
    step: index,
    percent: weighed ? step.percent : phase.percent,
    since: now,
    weighedAt: weighed && step.continues !== true ? now : phase.weighedAt,
    paused: null,
  };
}

/** It stays as it is until somebody says otherwise. */
export function pauseStep(
  phase: CanaryPhase,
  by: 'gate' | 'person',
  reason: string,
  now: number,
): CanaryPhase {
  return phase.paused === null ? { ...phase, paused: { by, reason, at: now } } : phase;
}

/**
 * Goes on. What a person has paused goes on with the time that was left; what a gate has paused is
 * answered by this, so the next step begins.
 */
export function resumeStep(deployment: Deployment, phase: CanaryPhase, now: number): Phase {
  const { paused, since } = phase;
  if (paused === null) return phase;
  if (paused.by === 'gate') return nextStep(deployment, phase, now);
  return { ...phase, since: since + (now - paused.at), paused: null };
}
