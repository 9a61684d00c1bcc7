import { type Evidence, type Limits, totals } from './evidence.ts';
import { tellPercentile } from './histogram.ts';
import { mannWhitney } from './mann-whitney.ts';
import { Z95 } from './special.ts';
import type { GateOutcome, Interval, Verdict } from './verdict.ts';

const MIN_EACH = 50;
const EFFECT = 0.6;
const MEDIAN_RATIO = 1.25;
const LOOK_BACK_MS = 15 * 60_000;

/**
 * Whether the candidate is slower than stable, asked once a step: it pauses when a request of the
 * candidate is slower than one of stable in 60 of 100 pairs, and its median by a quarter. The
 * candidate's warm-up is left out.
 */
export function judgeRelativeLatency(evidence: Evidence, limits: Limits): Verdict {
  const { since, now, source } = evidence;
  const window = { from: Math.min(now, since + limits.warmUpMs), to: now };
  const ours = totals(evidence.candidate, window, limits.p99Ms);
  const theirs = totals(evidence.stable, { from: since - LOOK_BACK_MS, to: now }, limits.p99Ms);
  const found = mannWhitney(ours.latency, theirs.latency);
  const { candidateN, stableN, effect, medianRatio } = found;
  const say = (outcome: GateOutcome, because: string): Verdict => ({
    gate: 'relative-latency',
    outcome,
    // A slower release is a reason to ask somebody, not to undo it.
    action: outcome === 'fail' ? 'pause' : limits.actions[outcome],
    metric: 'slower than stable',
    value: candidateN === 0 || stableN === 0 ? null : effect,
    unit: 'share',
    threshold: EFFECT,
    n: candidateN,
    interval:
      candidateN === 0 || stableN === 0 ? null : effectInterval(effect, candidateN, stableN),
    window,
    oneOf: ours.oneOf,
    because,
  });
  if (source.kind === 'counters') {
    return say('inconclusive', `${source.why}, and HAProxy's counters have no latencies`);
  }
  if (window.from === now) {
    const warmUp = `${Math.round(limits.warmUpMs / 1_000)} s`;
    return say('inconclusive', `n too small: the first ${warmUp} are not compared`);
  }
  if (candidateN < MIN_EACH || stableN < MIN_EACH) {
    return say('inconclusive', `n too small (${candidateN} and ${stableN}, ${MIN_EACH} each)`);
  }
  const facts = `medians' ratio ${medianRatio.toFixed(2)}, ${tellPercentile(ours.latency, 99)}, before ${tellPercentile(theirs.latency, 99)}`;
  return say(effect >= EFFECT && medianRatio >= MEDIAN_RATIO ? 'fail' : 'pass', facts);
}

/** 95 % interval of the common-language effect, by the variance of Hanley and McNeil. */
export function effectInterval(effect: number, candidateN: number, stableN: number): Interval {
  const q1 = effect / (2 - effect);
  const q2 = (2 * effect * effect) / (1 + effect);
  const square = effect * effect;
  const variance =
    (effect * (1 - effect) + (candidateN - 1) * (q1 - square) + (stableN - 1) * (q2 - square)) /
    (candidateN * stableN);
  const half = Z95 * Math.sqrt(Math.max(0, variance));
  return { low: Math.max(0, effect - half), high: Math.min(1, effect + half) };
}
