import { type Evidence, type Limits, totals } from './evidence.ts';
import { wilson } from './interval.ts';
import { decide, hypotheses, logLikelihoodRatio, MOST } from './sprt.ts';
import type { GateOutcome, Verdict } from './verdict.ts';

/** How far back stable's rate is looked for, ms before the candidate got its first request. */
const LOOK_BACK_MS = 15 * 60_000;

/**
 * Wald's test over all requests of the candidate. A request is bad if it failed or was slower than
 * the p99 limit. It decides once: whoever asks again after a verdict would be asking too often for
 * its error rates to hold. Never a failure on fewer bad requests than `minErrors`.
 */
export function judgeSequentially(evidence: Evidence, limits: Limits): Verdict {
  const { now, since } = evidence;
  const window = { from: since, to: now };
  const seen = totals(evidence.candidate, window, limits.p99Ms);
  const before = totals(evidence.stable, { from: since - LOOK_BACK_MS, to: now }, limits.p99Ms);
  const bad = seen.failed + seen.slow;
  const badBefore = before.failed + before.slow;
  const isKnown = badBefore > 0 && before.n >= limits.minRequests;
  // Half an error in 50 requests is no evidence that stable fails: it would let 2 % pass. Nor are they
  // evidence that it never does: up to half of the limit the candidate has the benefit of the doubt.
  const most = isKnown ? MOST : Math.min(MOST, limits.errorRate / 2);
  const test = hypotheses(limits.errorRate, { bad: badBefore, n: before.n }, most);
  const decision = limits.errorRate >= 1 ? 'undecided' : decide(bad, seen.n, test);
  const outcome: GateOutcome =
    decision === 'undecided' || (decision === 'fail' && bad < limits.minErrors)
      ? 'inconclusive'
      : decision;
  const ratio = logLikelihoodRatio(bad, seen.n, test);
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  const wait = outcome === 'inconclusive' ? 'needs more requests, ' : '';
  return {
    gate: 'sequential',
    outcome,
    action: limits.actions[outcome],
    metric: 'bad requests',
    value: seen.n === 0 ? null : bad / seen.n,
    unit: 'share',
    threshold: test.p1,
    n: seen.n,
    interval: seen.n === 0 ? null : wilson(bad, seen.n),
    window,
    oneOf: seen.oneOf,
    because: `${wait}${seen.failed} failed and ${seen.slow} slower than ${limits.p99Ms} ms; log-likelihood ratio ${ratio.toFixed(2)} between ${percent(test.p0)} and ${percent(test.p1)}`,
  };
}
