import { Z95 } from './special.ts';
import type { Actions, Interval, Verdict, Window } from './verdict.ts';

/** Counts of something that users do: orders, sign-ups. */
export interface BusinessCounts {
  readonly candidate: number;
  /** The same of stable, or of the same hour last week. */
  readonly baseline: number;
  /** Candidate's exposure by baseline's: users, requests, or minutes times weight. 1: equal. */
  readonly exposure: number;
}

/** A drop below this is nobody's alarm. */
export const DROP = 0.05;

/** The statistic, and the interval of the relative change. */
export interface BusinessChange {
  /** (c - b) / sqrt(b + c) when both were equally exposed. */
  readonly z: number;
  /** (c - b) / b: -0.05 is a drop by 5 %. Null without a baseline. */
  readonly change: number | null;
  readonly interval: Interval | null;
}

/** Two Poisson counts against each other; `exposure` scales the baseline to the candidate. */
export function businessChange({ candidate, baseline, exposure }: BusinessCounts): BusinessChange {
  const expected = exposure * baseline;
  const deviation = Math.sqrt(candidate + exposure * expected);
  if (expected <= 0) return { z: 0, change: null, interval: null };
  const difference = candidate - expected;
  return {
    z: deviation === 0 ? 0 : difference / deviation,
    change: difference / expected,
    interval: {
      low: (difference - Z95 * deviation) / expected,
      high: (difference + Z95 * deviation) / expected,
    },
  };
}

/** Whether this look alone would fire: a drop above the limit whose 95 % interval excludes 0. */
export function drops(counts: BusinessCounts): boolean {
  const { change, interval } = businessChange(counts);
  return change !== null && interval !== null && -change > DROP && interval.high < 0;
}

/**
 * Judges a business metric. It fires only when this look and the one before both show the drop: one
 * look in 40 shows one by chance, two in a row one in 1,600.
 * @param before the look before this one; null at the first
 */
export function judgeBusiness(
  metric: string,
  counts: BusinessCounts,
  before: BusinessCounts | null,
  window: Window,
  actions: Actions,
): Verdict {
  const { z, change, interval } = businessChange(counts);
  const now = drops(counts);
  const twice = now && before !== null && drops(before);
  const outcome = change === null ? 'inconclusive' : twice ? 'fail' : 'pass';
  const said =
    change === null
      ? 'nothing to compare with'
      : `${counts.candidate} against ${(counts.exposure * counts.baseline).toFixed(1)} expected, z = ${z.toFixed(2)}`;
  const once = now && !twice ? ', reported: one more look decides' : '';
  return {
    gate: 'business',
    outcome,
    action: actions[outcome],
    metric,
    value: change,
    unit: 'share',
    threshold: -DROP,
    n: counts.candidate + counts.baseline,
    interval,
    window,
    oneOf: 1,
    because: `${said}${once}`,
  };
}
