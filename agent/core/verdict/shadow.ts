import { type Histogram, percentile } from './histogram.ts';
import { wilson } from './interval.ts';
import type { Actions, GateOutcome, Verdict, Window } from './verdict.ts';

/** How a request was answered; `none`: not at all, or not in time. */
export type AnswerClass = '2xx' | '3xx' | '4xx' | '5xx' | 'none';

/** One live request and its copy, both answered. */
export interface ShadowPair {
  readonly live: AnswerClass;
  readonly candidate: AnswerClass;
  readonly liveMs: number;
  readonly candidateMs: number;
}

/** What pairs come to. */
export interface ShadowTally {
  readonly pairs: number;
  readonly live: Readonly<Record<AnswerClass, number>>;
  readonly candidate: Readonly<Record<AnswerClass, number>>;
  /** Pairs whose live answer was no failure: what the candidate is judged by. */
  readonly judged: number;
  /** Of these, those that the candidate failed. */
  readonly failed: number;
  readonly liveLatency: Histogram;
  readonly candidateLatency: Histogram;
}

/** What a candidate is held to while it has only copies. */
export interface ShadowLimits {
  readonly errorRate: number;
  readonly minRequests: number;
  readonly minErrors: number;
  readonly actions: Actions;
}

/** The class of a status. */
export function classOf(status: number): AnswerClass {
  if (status >= 500) return '5xx';
  if (status >= 400) return '4xx';
  if (status >= 300) return '3xx';
  return status >= 200 ? '2xx' : 'none';
}

/** Whether an answer is a failure of who gave it. */
export function isFailure(answer: AnswerClass): boolean {
  return answer === '5xx' || answer === 'none';
}

/**
 * Holds the candidate's answers against live's. Only where live did not fail: what both fail is no
 * fault of the release. Before the end it fails only what is above the limit with certainty: asked
 * again and again, chance alone would break a plain limit sooner or later.
 * @param over no more pairs come
 */
export function judgeShadow(
  { judged: n, failed }: ShadowTally,
  limits: ShadowLimits,
  window: Window,
  over: boolean,
): Verdict {
  const interval = n === 0 ? null : wilson(failed, n);
  const say = (outcome: GateOutcome, because: string): Verdict => ({
    gate: 'shadow',
    outcome,
    action: limits.actions[outcome],
    metric: 'copies failed that live answered',
    value: n === 0 ? null : failed / n,
    unit: 'share',
    threshold: limits.errorRate,
    n,
    interval,
    window,
    oneOf: 1,
    because,
  });
  if (n < limits.minRequests) {
    return say('inconclusive', `n too small (${n} of ${limits.minRequests})`);
  }
  const above = failed >= limits.minErrors && failed / n > limits.errorRate;
  if (!above) return say('pass', '');
  if (over || (interval !== null && interval.low > limits.errorRate)) {
    return say('fail', 'no user has met it');
  }
  return say('inconclusive', 'above the limit, not yet for certain');
}

/** The percentiles of one side, ms; null where too few answers say nothing. */
export function percentiles(latency: Histogram): {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
} {
  return {
    p50: percentile(latency, 50),
    p95: percentile(latency, 95),
    p99: percentile(latency, 99),
  };
}
