/** Wald's sequential probability ratio test on bad requests of all requests. */

/** The rates the test tells apart, and how often it may be wrong. */
export interface Hypotheses {
  /** As good as stable. */
  readonly p0: number;
  /** Clearly worse. */
  readonly p1: number;
  /** How often a candidate of rate p0 may be failed. */
  readonly alpha: number;
  /** How often one of rate p1 may pass. */
  readonly beta: number;
}

/** How often the test may be wrong, unless told otherwise. */
export const ALPHA = 0.01;
export const BETA = 0.05;

/** Rates are kept away from 0 and 1, where logarithms end. */
const LEAST = 1e-6;
/** Above a third, twice p0 would come too near to 1 for the test to mean anything. */
export const MOST = 1 / 3;

/**
 * What to tell apart, from what stable does. p0 is stable's own rate, (e + 1/2) / (n + 1), yet at
 * least a tenth of the limit: 0.1 % for 1 %. p1 is the limit, or twice p0 when that is more.
 * @param limit the error rate that is too much, 0 to 1
 * @param stable what was seen of the stable release; null: nothing
 * @param most what stable's rate is believed to be at most
 */
export function hypotheses(
  limit: number,
  stable: { readonly bad: number; readonly n: number } | null,
  most = MOST,
): Hypotheses {
  const seen = stable === null || stable.n === 0 ? 0 : (stable.bad + 0.5) / (stable.n + 1);
  const p0 = Math.min(most, Math.max(LEAST, limit / 10, seen));
  const p1 = Math.min(1 - LEAST, Math.max(limit, 2 * p0));
  return { p0, p1, alpha: ALPHA, beta: BETA };
}

/** x ln(p1/p0) + (n - x) ln((1-p1)/(1-p0)). */
export function logLikelihoodRatio(bad: number, n: number, { p0, p1 }: Hypotheses): number {
  return bad * Math.log(p1 / p0) + (n - bad) * Math.log((1 - p1) / (1 - p0));
}

export type Decision = 'fail' | 'pass' | 'undecided';

/** Fail at ln((1-beta)/alpha), pass at ln(beta/(1-alpha)), else more requests are needed. */
export function decide(bad: number, n: number, test: Hypotheses): Decision {
  const ratio = logLikelihoodRatio(bad, n, test);
  if (ratio >= Math.log((1 - test.beta) / test.alpha)) return 'fail';
  return ratio <= Math.log(test.beta / (1 - test.alpha)) ? 'pass' : 'undecided';
}

/** Requests after which a candidate without a bad one passes. */
export function cleanPassAfter(test: Hypotheses): number {
  const step = Math.log((1 - test.p1) / (1 - test.p0));
  return Math.ceil(Math.log(test.beta / (1 - test.alpha)) / step);
}
