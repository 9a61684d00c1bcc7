import { analyse } from '../../agent/core/verdict/analysis.ts';
import type { Evidence, Tick } from '../../agent/core/verdict/evidence.ts';
import { binOf } from '../../agent/core/verdict/histogram.ts';
import { failing, isSettled, judgeTraffic } from '../../agent/core/verdict/judge.ts';
import type { Verdict } from '../../agent/core/verdict/verdict.ts';
import { LIMITS } from './limits.ts';
import { BAD_STABLE, type Run, type Truth } from './row.ts';

/** An analysis waits so long, and stable is known for so long before it, ms. */
export const WITHIN_MS = 30 * 60_000;
const BEFORE_MS = 15 * 60_000;
/** Looks at the evidence in one run, at most: rare requests need no more. */
const LOOKS = 360;
/** Waits are log-normal, as of a usual web app: median 40 ms, 1 of 100 above 160 ms. */
const MEDIAN_MS = 40;
const SIGMA = 0.6;

/** Mulberry32: the same numbers in every run of the benchmark. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One run: an `analyse` step by the rules of the agent, under traffic whose truth is known. */
export function simulate(truth: Truth, random: () => number): Run {
  const { rps, trueErrorRate, latencyShift, stable } = truth;
  const lookMs = Math.max(200, Math.min(5_000, 20_000 / rps));
  const stepMs = Math.max(lookMs, WITHIN_MS / LOOKS / 4);
  const stableRate = stable === 'bad' ? BAD_STABLE : 0;
  const before: Tick[] = [];
  // Twice the traffic before the split; half a minute is enough of what is fast.
  const knownMs = Math.min(BEFORE_MS, Math.max(30_000, 2_000_000 / rps));
  for (let at = -knownMs; at < 0; at += 60_000) {
    const to = Math.min(0, at + 60_000);
    before.push(traffic(at, to, 2 * rps, stableRate, 0, random));
  }
  const candidate: Tick[] = [];
  const beside: Tick[] = [];
  let settled: Verdict | null = null;
  for (let now = 0; now < WITHIN_MS; ) {
    // Fine while much can happen, coarser later: as the agent's books are.
    const next = now + (now < 60_000 ? lookMs : stepMs);
    candidate.push(traffic(now, next, rps, trueErrorRate, latencyShift, random));
    beside.push(traffic(now, next, rps, stableRate, 0, random));
    now = next;
    const evidence: Evidence = {
      now,
      since: 0,
      candidate,
      stable: [...before, ...beside],
      source: { kind: 'log' },
    };
    const verdicts = judgeTraffic(evidence, LIMITS, settled);
    settled = verdicts.find(isSettled) ?? settled;
    const requests = candidate.reduce((sum, tick) => sum + tick.requests, 0);
    const ended = (end: Run['end']): Run => ({ end, seconds: now / 1_000, requests });
    if (failing(verdicts)?.action === 'rollback') return ended('fail');
    const { says } = analyse(evidence, LIMITS, verdicts, settled !== null);
    if (says !== 'wait') return ended(says === 'pause' ? 'inconclusive' : 'pass');
  }
  const requests = candidate.reduce((sum, tick) => sum + tick.requests, 0);
  return { end: 'inconclusive', seconds: WITHIN_MS / 1_000, requests };
}

function traffic(
  from: number,
  to: number,
  rps: number,
  errorRate: number,
  shiftMs: number,
  random: () => number,
): Tick {
  const requests = poisson((rps * (to - from)) / 1_000, random);
  const latency = new Map<number, number>();
  let failed = 0;
  for (let n = 0; n < requests; n += 1) {
    if (random() < errorRate) {
      failed += 1;
      continue;
    }
    const bin = binOf(Math.round(MEDIAN_MS * Math.exp(SIGMA * normal(random)) + shiftMs));
    latency.set(bin, (latency.get(bin) ?? 0) + 1);
  }
  return { from, to, requests, failed, latency, oneOf: 1 };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** How many come when `mean` are to be expected: by the gaps between them, or, of many, nearly normal. */
function poisson(mean: number, random: () => number): number {
  if (mean > 200) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  let count = 0;
  for (let left = mean; ; count += 1) {
    left += Math.log(1 - random());
    if (left < 0) return count;
  }
}
