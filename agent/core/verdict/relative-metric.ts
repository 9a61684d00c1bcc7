import { wilson } from './interval.ts';
import { binomialTail } from './special.ts';
import type { Action, GateOutcome, Verdict, Window } from './verdict.ts';

/** What was measured of one release. `of` of how many it is a count; null where it is no count. */
export interface Sample {
  readonly value: number;
  readonly of: number | null;
}

/** What a candidate may differ from stable by. */
export interface RelativeBounds {
  readonly max_ratio?: number | undefined;
  readonly min_ratio?: number | undefined;
  /** Of plain values: below it they count as this much. */
  readonly at_least: number;
  /** How many looks in a row must be bad. */
  readonly looks: number;
}

/** No verdict on counts below this many, and this many of what is bad. */
export interface Minima {
  readonly minRequests: number;
  readonly minErrors: number;
}

/** What looks have come to so far. `judged`: those that had enough to go by. */
export interface Looks {
  readonly judged: number;
  readonly inARow: number;
}

export const NO_LOOKS: Looks = { judged: 0, inARow: 0 };

/** How often chance alone may fail a release as good as the limit allows, however often it is asked. */
const ALPHA = 0.05;

/** Of one look: whether it was bad, null when it cannot say, and all that explains it. */
type Found = Pick<Verdict, 'value' | 'unit' | 'threshold' | 'n' | 'interval' | 'because'> & {
  readonly bad: boolean | null;
  readonly wrong?: true;
};

/**
 * Judges a metric of the candidate by the same of stable. Counts are judged by an exact test, whose
 * limit gets stricter with each look; plain values by their ratio. It fails when `looks` looks in a
 * row are bad.
 * @param before what looks before this one came to
 */
export function judgeRelative(
  name: string,
  candidate: Sample,
  stable: Sample & { readonly release: string },
  bounds: RelativeBounds & Minima,
  before: Looks,
  window: Window,
  onFail: Action,
): { readonly verdict: Verdict; readonly looks: Looks } {
  const found =
    candidate.of === null || stable.of === null
      ? byRatio(candidate.value, stable.value, stable.release, bounds, before)
      : byCounts(
          { bad: Math.round(candidate.value), n: Math.round(candidate.of) },
          { bad: Math.round(stable.value), n: Math.round(stable.of) },
          stable.release,
          bounds,
          before,
        );
  const { bad, wrong, because, ...measured } = found;
  const looks: Looks = {
    judged: before.judged + (bad === null ? 0 : 1),
    inARow: bad === true ? before.inARow + 1 : 0,
  };
  const failed = looks.inARow >= bounds.looks;
  const unknown: GateOutcome = wrong === true ? 'error' : 'inconclusive';
  const outcome = bad === null ? unknown : failed ? 'fail' : 'pass';
  const row = bad === true ? `; ${looks.inARow} of ${bounds.looks} bad looks in a row` : '';
  const verdict: Verdict = {
    gate: 'metric',
    outcome,
    action: failed ? onFail : 'proceed',
    metric: name,
    ...measured,
    window,
    oneOf: 1,
    because: `${because}${row}`,
  };
  return { verdict, looks };
}

function byRatio(
  candidate: number,
  stable: number,
  release: string,
  { max_ratio: max, min_ratio: min, at_least: floor }: RelativeBounds,
  before: Looks,
): Found {
  const reference = Math.max(stable, floor);
  const ratio = reference > 0 ? Math.max(candidate, floor) / reference : null;
  const below = ratio !== null && min !== undefined && ratio < min;
  return {
    bad: ratio === null ? null : below || (max !== undefined && ratio > max),
    value: ratio,
    unit: 'ratio',
    threshold: (below ? min : (max ?? min)) ?? 0,
    n: before.judged + (ratio === null ? 0 : 1),
    interval: null,
    because:
      ratio === null
        ? `${release} has none to compare with`
        : `${candidate} against ${stable} of ${release}`,
  };
}

interface Count {
  readonly bad: number;
  readonly n: number;
}

/**
 * Given k = e_c + e_s in all, e_c of a candidate r times as bad as stable is Bin(k, w) with
 * w = r n_c / (r n_c + n_s). Look number m may be mistaken in ALPHA / (m (m + 1)) of cases, so all
 * looks together in ALPHA, although they see much of the same.
 */
function byCounts(
  candidate: Count,
  stable: Count,
  release: string,
  bounds: RelativeBounds & Minima,
  before: Looks,
): Found {
  const { max_ratio: max, min_ratio: min, minRequests, minErrors } = bounds;
  const { bad, n } = candidate;
  const share = n > 0 ? bad / n : null;
  const usual = stable.n > 0 ? stable.bad / stable.n : 0;
  const below = min !== undefined && share !== null && share < min * usual;
  const ratio = (below ? min : (max ?? min)) ?? 1;
  const facts = {
    value: share,
    unit: 'share',
    threshold: ratio * usual,
    n,
    interval: share !== null && share >= 0 && share <= 1 ? wilson(bad, n) : null,
  } as const;
  if ([candidate, stable].some((count) => count.bad < 0 || count.bad > count.n)) {
    const because = 'it counts more than the of it, or less than none';
    return { ...facts, bad: null, wrong: true, because };
  }
  const fewest = Math.min(n, stable.n);
  if (fewest < minRequests) {
    return { ...facts, bad: null, because: `n too small (${fewest} of ${minRequests})` };
  }
  const worse = below || (max !== undefined && bad / n > max * usual);
  const k = bad + stable.bad;
  const weight = (ratio * n) / (ratio * n + stable.n);
  const chance = below ? binomialTail(k - bad, k, 1 - weight) : binomialTail(bad, k, weight);
  const look = before.judged + 1;
  const sides = max !== undefined && min !== undefined ? 2 : 1;
  const alpha = ALPHA / (look * (look + 1) * sides);
  const enough = (below ? stable.bad : bad) >= minErrors;
  const of = `${ratio} times that of ${release} (${stable.bad} of ${stable.n})`;
  const odds = `chance p = ${chance.toPrecision(2)}, blamed below ${alpha.toPrecision(2)}`;
  return {
    ...facts,
    bad: worse && enough && chance <= alpha,
    because: worse ? `${of}, ${odds}` : of,
  };
}
