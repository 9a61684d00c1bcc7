import { type Histogram, quantile, total } from './histogram.ts';
import { normalTail } from './special.ts';

/** How two sets of latencies compare. */
export interface Comparison {
  readonly candidateN: number;
  readonly stableN: number;
  /** P(candidate slower than stable), ties half: 0.5 when they are alike. */
  readonly effect: number;
  /** Normal deviate of U for "slower", corrected for ties and continuity. */
  readonly z: number;
  /** One-sided: chance alone makes the candidate look this slow. */
  readonly p: number;
  /** Candidate's median by stable's. */
  readonly medianRatio: number;
}

/**
 * The Mann-Whitney test on histograms: every bin is one value, so whatever shares a bin is tied, and
 * the variance is corrected for it.
 * @throws nothing; with an empty side the effect is 0.5 and p is 1
 */
export function mannWhitney(candidate: Histogram, stable: Histogram): Comparison {
  const candidateN = total(candidate);
  const stableN = total(stable);
  const all = candidateN + stableN;
  const medianRatio = ratio(quantile(candidate, 0.5), quantile(stable, 0.5));
  if (candidateN === 0 || stableN === 0) {
    return { candidateN, stableN, effect: 0.5, z: 0, p: 1, medianRatio: 1 };
  }
  let below = 0;
  let wins = 0;
  let ties = 0;
  const bins = [...new Set([...candidate.keys(), ...stable.keys()])].sort((a, b) => a - b);
  for (const bin of bins) {
    const ours = candidate.get(bin) ?? 0;
    const theirs = stable.get(bin) ?? 0;
    wins += ours * (below + theirs / 2);
    below += theirs;
    const tied = ours + theirs;
    ties += tied * tied * tied - tied;
  }
  const mean = (candidateN * stableN) / 2;
  const variance = ((candidateN * stableN) / 12) * (all + 1 - ties / (all * (all - 1)));
  const excess = wins - mean;
  const z = variance <= 0 ? 0 : (excess - 0.5) / Math.sqrt(variance);
  return {
    candidateN,
    stableN,
    effect: wins / (candidateN * stableN),
    z,
    p: normalTail(z),
    medianRatio,
  };
}

/** Half a millisecond is what whole milliseconds hide: nothing is infinitely slower than 0 ms. */
function ratio(ours: number, theirs: number): number {
  return (ours + 0.5) / (theirs + 0.5);
}
