import { type Evidence, type Limits, type Tick, type Totals, totals } from './evidence.ts';
import { tellPercentile, total } from './histogram.ts';
import { wilson } from './interval.ts';
import type { GateOutcome, Verdict, Window } from './verdict.ts';

/** A classic trigger: a share above its limit for a while. */
interface Guard {
  readonly gate: 'error-rate' | 'latency';
  readonly metric: string;
  readonly threshold: number;
  readonly forMs: number;
  readonly bad: (totals: Totals) => number;
  /** Requests that could have been bad in this way. */
  readonly of: (totals: Totals) => number;
}

/** A p99 above the limit is more than this share of requests above it. */
const SLOW_SHARE = 0.01;

function errorRateGuard(limits: Limits): Guard {
  return {
    gate: 'error-rate',
    metric: 'error rate',
    threshold: limits.errorRate,
    forMs: limits.errorForMs,
    bad: ({ failed }) => failed,
    of: ({ n }) => n,
  };
}

function latencyGuard(limits: Limits): Guard {
  return {
    gate: 'latency',
    metric: `requests slower than ${limits.p99Ms} ms`,
    threshold: SLOW_SHARE,
    forMs: limits.p99ForMs,
    bad: ({ slow }) => slow,
    of: ({ latency }) => total(latency),
  };
}

/** The error rate above its limit, sustained. */
export function judgeErrorRate(evidence: Evidence, limits: Limits): Verdict {
  return judge(evidence, limits, errorRateGuard(limits));
}

/**
 * P99 above its limit, sustained: said as the share of requests that are slower, which needs no
 * minimum of 299 as the percentile itself does. Without latencies it is inconclusive.
 */
export function judgeLatency(evidence: Evidence, limits: Limits): Verdict {
  return judge(evidence, limits, latencyGuard(limits));
}

/** Whether stable, too, breaks what these totals are held to. */
export function breaches(seen: { bad: number; n: number }, limit: number, limits: Limits): boolean {
  return seen.n >= limits.minRequests && seen.bad >= limits.minErrors && seen.bad / seen.n > limit;
}

function judge(evidence: Evidence, limits: Limits, guard: Guard): Verdict {
  const { now, since, candidate, source } = evidence;
  const window = { from: Math.max(since, now - guard.forMs), to: now };
  const seen = totals(candidate, window, limits.p99Ms);
  const n = guard.of(seen);
  const bad = guard.bad(seen);
  const say = (outcome: GateOutcome, because: string): Verdict => ({
    gate: guard.gate,
    outcome,
    action: limits.actions[outcome],
    metric: guard.metric,
    value: n === 0 ? null : bad / n,
    unit: 'share',
    threshold: guard.threshold,
    n,
    interval: n === 0 ? null : wilson(bad, n),
    window,
    oneOf: seen.oneOf,
    because,
  });
  if (guard.gate === 'latency' && source.kind === 'counters') {
    return say('inconclusive', `${source.why}, and HAProxy's counters have no latencies`);
  }
  if (n < limits.minRequests) {
    return say('inconclusive', `n too small (${n} of ${limits.minRequests})`);
  }
  const about = guard.gate === 'latency' ? tellPercentile(seen.latency, 99) : '';
  if (!breaches({ bad, n }, guard.threshold, limits)) return say('pass', about);
  const forText = `${Math.round(guard.forMs / 1_000)} s`;
  if (now - since < guard.forMs) {
    return say('inconclusive', `above the limit, not yet for ${forText}`);
  }
  if (!bothHalves(candidate, window, limits, guard)) {
    return say('inconclusive', `above the limit, not all through ${forText}`);
  }
  return say('fail', `above the limit for ${forText}${about === '' ? '' : `, ${about}`}`);
}

/** A burst that is over is not sustained: each half must be above the limit by itself. */
function bothHalves(
  ticks: readonly Tick[],
  { from, to }: Window,
  limits: Limits,
  guard: Guard,
): boolean {
  const middle = (from + to) / 2;
  return [
    { from, to: middle },
    { from: middle, to },
  ].every((half) => {
    const seen = totals(ticks, half, limits.p99Ms);
    return guard.bad(seen) > guard.threshold * guard.of(seen);
  });
}
