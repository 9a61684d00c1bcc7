import { type Evidence, type Limits, totals } from './evidence.ts';
import { breaches } from './guard.ts';
import { binomialTail } from './special.ts';
import type { Verdict, Window } from './verdict.ts';

/** How far back stable is looked at when it has few requests, ms. */
const LOOK_BACK_MS = 15 * 60_000;

/** Chance must be rarer than this before the release is blamed for what stable does too. */
export const BLAME = 0.05;

/**
 * Whether it is the release. A candidate that fails while stable breaks the same limit is held, and
 * a person told, unless its share of the bad requests is more than chance gives it:
 * P(Bin(k, w) >= e_c) <= 0.05, with k all bad requests and w the candidate's share of all requests.
 */
export function attribute(verdict: Verdict, evidence: Evidence, limits: Limits): Verdict {
  if (verdict.outcome !== 'fail' || verdict.value === null) return verdict;
  const candidate = count(evidence.candidate, verdict.window, verdict, limits);
  const stable = comparable(verdict, candidate, evidence, limits);
  // The limit itself, not twice stable's rate: that a bad stable broke it is the point.
  const limit = verdict.gate === 'sequential' ? limits.errorRate : verdict.threshold;
  if (stable === null || !breaches(stable, limit, limits)) return verdict;
  const chance = binomialTail(
    candidate.bad,
    candidate.bad + stable.bad,
    candidate.n / (candidate.n + stable.n),
  );
  const facts = `stable has it too (${stable.bad} of ${stable.n}, chance p = ${chance.toPrecision(2)})`;
  // A guard asks again and again: of each window it has had, one may have blamed by chance.
  const { from, to } = verdict.window;
  const windows = Math.max(1, (evidence.now - evidence.since) / Math.max(1, to - from));
  if (chance <= BLAME / windows) {
    return { ...verdict, because: `${verdict.because}; ${facts}, but the release is worse` };
  }
  return {
    ...verdict,
    outcome: 'inconclusive',
    action: 'pause',
    held: true,
    because: `${verdict.because}; ${facts}: it is not the release`,
  };
}

type Count = { readonly bad: number; readonly n: number };

/**
 * Stable in the same minutes; where it had too few requests in them to show as many bad ones, a
 * quarter of an hour before the candidate came as well; where it had none, as long before the switch.
 */
function comparable(
  verdict: Verdict,
  candidate: Count,
  { stable, since }: Evidence,
  limits: Limits,
): Count | null {
  const { from, to } = verdict.window;
  const same = count(stable, verdict.window, verdict, limits);
  const expected = same.n * (candidate.bad / Math.max(1, candidate.n));
  if (same.n >= limits.minRequests && expected >= 3 * limits.minErrors) return same;
  if (same.n > 0) {
    const longer = count(stable, { from: since - LOOK_BACK_MS, to }, verdict, limits);
    return longer.n >= limits.minRequests ? longer : null;
  }
  const long = Math.max(to - from, 60_000);
  const before = count(stable, { from: since - long, to: since }, verdict, limits);
  return before.n >= limits.minRequests ? before : null;
}

function count(
  ticks: Evidence['stable'],
  window: Window,
  { gate }: Verdict,
  limits: Limits,
): Count {
  const { n, failed, slow } = totals(ticks, window, limits.p99Ms);
  switch (gate) {
    case 'sequential':
      return { bad: failed + slow, n };
    case 'latency':
      return { bad: slow, n: n - failed };
    default:
      return { bad: failed, n };
  }
}
