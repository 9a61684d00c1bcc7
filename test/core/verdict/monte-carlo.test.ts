import { describe, expect, it } from 'vitest';
import { type BusinessCounts, drops } from '../../../agent/core/verdict/business.ts';
import { binOf, merge } from '../../../agent/core/verdict/histogram.ts';
import { mannWhitney } from '../../../agent/core/verdict/mann-whitney.ts';
import { binomialTail } from '../../../agent/core/verdict/special.ts';
import { decide, hypotheses } from '../../../agent/core/verdict/sprt.ts';

/** Mulberry32: the same numbers in every run, so these tests never fail by chance. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs the sequential test to its end. */
function sequential(rate: number, random: () => number): { fails: boolean; n: number } {
  const test = hypotheses(0.01, null);
  let bad = 0;
  for (let n = 1; ; n += 1) {
    if (random() < rate) bad += 1;
    const decision = decide(bad, n, test);
    if (decision !== 'undecided') return { fails: decision === 'fail', n };
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

function repeat(runs: number, rate: number): { failed: number; requests: readonly number[] } {
  const random = generator(1 + Math.round(rate * 1e6));
  const all = Array.from({ length: runs }, () => sequential(rate, random));
  return {
    failed: all.filter(({ fails }) => fails).length / runs,
    requests: all.map(({ n }) => n),
  };
}

describe("Wald's test keeps its word", () => {
  // Four standard deviations of 10,000 runs beyond the promise.
  it('fails a candidate of p0 = 0.1 % in at most alpha = 1 % of runs', () => {
    expect(repeat(10_000, 0.001).failed).toBeLessThan(0.01 + 4 * 0.001);
  });

  it('passes a candidate of p1 = 1 % in at most beta = 5 % of runs', () => {
    expect(1 - repeat(10_000, 0.01).failed).toBeLessThan(0.05 + 4 * 0.0022);
  });

  it('never fails a clean one, and passes it after 330 requests', () => {
    const { failed, requests } = repeat(100, 0);
    expect(failed).toBe(0);
    expect(new Set(requests)).toEqual(new Set([330]));
  });

  it('catches 5 % errors after about 60 requests, 100 % after 2', () => {
    const { failed, requests } = repeat(10_000, 0.05);
    expect(failed).toBeGreaterThan(0.999);
    const mean = requests.reduce((sum, n) => sum + n, 0) / requests.length;
    expect(mean).toBeGreaterThan(40);
    expect(mean).toBeLessThan(65);
    expect(median(repeat(100, 1).requests)).toBe(2);
  });
});

describe('attribution', () => {
  it('blames a release that is not to blame in at most 5 % of runs', () => {
    const random = generator(7);
    let blamed = 0;
    for (let run = 0; run < 10_000; run += 1) {
      // Both releases fail 6 % of what they get; the candidate gets a fifth.
      let ours = 0;
      let all = 0;
      for (let request = 0; request < 500; request += 1) {
        if (random() >= 0.06) continue;
        all += 1;
        if (random() < 0.2) ours += 1;
      }
      if (binomialTail(ours, all, 0.2) <= 0.05) blamed += 1;
    }
    expect(blamed / 10_000).toBeLessThan(0.05 + 4 * 0.0022);
  });
});

describe('relative latency', () => {
  /** Log-normal times about this median, ms. */
  const times = (middle: number, n: number, random: () => number) =>
    merge(
      Array.from({ length: n }, () => {
        const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
        return new Map([[binOf(middle * Math.exp(0.5 * normal)), 1]]);
      }),
    );
  const fires = (slower: number, n: number, random: () => number): boolean => {
    const { effect, medianRatio } = mannWhitney(
      times(80 * slower, n, random),
      times(80, n, random),
    );
    return effect >= 0.6 && medianRatio >= 1.25;
  };
  const share = (slower: number, n: number): number => {
    const random = generator(11);
    let fired = 0;
    for (let run = 0; run < 1_000; run += 1) if (fires(slower, n, random)) fired += 1;
    return fired / 1_000;
  };

  it('leaves an equally fast release alone, with 50 on each side and with 500', () => {
    expect(share(1, 50)).toBeLessThan(0.05);
    expect(share(1, 500)).toBe(0);
  });

  it('sees one that takes half as long again', () => {
    expect(share(1.5, 500)).toBeGreaterThan(0.99);
  });
});

describe('the business metric', () => {
  it('fires by chance about once in 1,600 when looked at twice in a row', () => {
    const random = generator(5);
    const poisson = (mean: number): number => {
      let n = 0;
      let time = -Math.log(1 - random());
      while (time < mean) {
        time -= Math.log(1 - random());
        n += 1;
      }
      return n;
    };
    const look = (): BusinessCounts => ({
      candidate: poisson(100),
      baseline: poisson(100),
      exposure: 1,
    });
    let once = 0;
    let twice = 0;
    for (let run = 0; run < 20_000; run += 1) {
      const first = drops(look());
      if (first) once += 1;
      if (first && drops(look())) twice += 1;
    }
    expect(once / 20_000).toBeLessThan(0.025 + 4 * 0.0011);
    expect(twice / 20_000).toBeLessThan(0.0016);
  });
});
