import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  judgeRelative,
  type Looks,
  NO_LOOKS,
  type RelativeBounds,
  type Sample,
} from '../../../agent/core/verdict/relative-metric.ts';
import { tell } from '../../../agent/core/verdict/verdict.ts';

const WINDOW = { from: 0, to: 60_000 };
const MINIMA = { minRequests: 20, minErrors: 3 };

type Given = Partial<RelativeBounds>;

function look(candidate: Sample, stable: Sample, given: Given, before: Looks = NO_LOOKS) {
  const bounds = { at_least: 0, looks: 2, ...MINIMA, ...given };
  const of = { ...stable, release: 'r1-0c1d2e3' };
  return judgeRelative('checkout', candidate, of, bounds, before, WINDOW, 'rollback');
}

const plain = (value: number): Sample => ({ value, of: null });
const count = (value: number, of: number): Sample => ({ value, of });

/** Looks so many times at the same; what the last one says. */
function again(times: number, candidate: Sample, stable: Sample, given: Given) {
  let judged = look(candidate, stable, given);
  for (let more = 1; more < times; more += 1) {
    judged = look(candidate, stable, given, judged.looks);
  }
  return judged.verdict;
}

describe('plain values', () => {
  test.each([
    [120, 100, { max_ratio: 1.2 }, 'pass', 1.2],
    [121, 100, { max_ratio: 1.2 }, 'fail', 1.21],
    [85, 100, { min_ratio: 0.9 }, 'fail', 0.85],
    [95, 100, { min_ratio: 0.9, max_ratio: 1.2 }, 'pass', 0.95],
    // Below at_least both are alike.
    [0.04, 0.001, { max_ratio: 1.2, at_least: 0.05 }, 'pass', 1],
    [0.06, 0.001, { max_ratio: 1.1, at_least: 0.05 }, 'fail', 0.06 / 0.05],
    [1, 20, { min_ratio: 0.9, at_least: 10 }, 'fail', 0.5],
    [1, 3, { min_ratio: 0.9, at_least: 10 }, 'pass', 1],
    [7, 0, { max_ratio: 1.2 }, 'inconclusive', null],
    [7, 0, { max_ratio: 1.2, at_least: 1 }, 'fail', 7],
  ])('%d against %d, %j: %s', (candidate, stable, given, outcome, value) => {
    const verdict = again(2, plain(candidate), plain(stable), given);
    expect(verdict).toMatchObject({ gate: 'metric', outcome, unit: 'ratio' });
    if (value === null) expect(verdict.value).toBeNull();
    else expect(verdict.value).toBeCloseTo(value, 12);
  });

  test('one bad look is said and decides nothing; a good one between begins anew', () => {
    const bad = look(plain(3), plain(1), { max_ratio: 2 });
    expect(bad.verdict).toMatchObject({ outcome: 'pass', action: 'proceed' });
    expect(tell(bad.verdict)).toBe(
      'pass: checkout 3.00 (limit 2.00, n = 1, 60 s); 3 against 1 of r1-0c1d2e3; 1 of 2 bad looks in a row',
    );
    const good = look(plain(1), plain(1), { max_ratio: 2 }, bad.looks);
    const once = look(plain(3), plain(1), { max_ratio: 2 }, good.looks);
    expect(once.verdict.outcome).toBe('pass');
    const twice = look(plain(3), plain(1), { max_ratio: 2 }, once.looks);
    expect(twice.verdict).toMatchObject({ outcome: 'fail', action: 'rollback', threshold: 2 });
  });

  test('the limit that was crossed is the one that is told', () => {
    const given = { min_ratio: 0.5, max_ratio: 2 };
    expect(look(plain(1), plain(4), given).verdict.threshold).toBe(0.5);
    expect(look(plain(9), plain(4), given).verdict.threshold).toBe(2);
  });
});

describe('counts', () => {
  // P(Bin(k, w) >= x), P(Bin(k, w) <= x): added up in exact fractions.
  it.each([
    [14, 188, 3, 566, { max_ratio: 1.2 }, 6.281295256555477e-6],
    [3, 40, 0, 400, { max_ratio: 2 }, 0.004629629629629629],
    [60, 300, 25, 300, { max_ratio: 1 }, 9.339969263917668e-5],
    [20, 400, 120, 1_200, { min_ratio: 0.9 }, 0.0067123664286592],
    [100, 1_000, 150, 1_000, { min_ratio: 1 }, 0.0009416504675380785],
  ])('%d of %d against %d of %d, %j: p = %d', (bad, n, stableBad, stableN, given, p) => {
    const { verdict } = look(count(bad, n), count(stableBad, stableN), { ...given, looks: 1 });
    expect(verdict.outcome).toBe('fail');
    expect(verdict.because).toContain(`chance p = ${p.toPrecision(2)}, blamed below 0.025`);
    expect(verdict).toMatchObject({ value: bad / n, n, unit: 'share' });
  });

  test('one sentence has all of it', () => {
    const verdict = again(2, count(14, 188), count(3, 566), { max_ratio: 1.2 });
    expect(tell(verdict)).toBe(
      'fail: checkout 7.4 % (limit 0.64 %, n = 188, 95 %: 4.5 % to 12.1 %, 60 s); 1.2 times that of r1-0c1d2e3 (3 of 566), chance p = 0.0000063, blamed below 0.0083; 2 of 2 bad looks in a row',
    );
  });

  it.each([
    ['what chance does', count(4, 188), count(8, 566), { max_ratio: 1.2 }, 'pass'],
    [
      'fewer bad ones than a verdict needs',
      count(2, 20),
      count(0, 5_000),
      { max_ratio: 1 },
      'pass',
    ],
    ['none anywhere', count(0, 500), count(0, 500), { max_ratio: 1 }, 'pass'],
    ['too few of the candidate', count(19, 19), count(0, 500), { max_ratio: 1 }, 'inconclusive'],
    ['too few of stable', count(50, 500), count(0, 19), { max_ratio: 1 }, 'inconclusive'],
    ['more than there are', count(30, 20), count(1, 500), { max_ratio: 1 }, 'error'],
    ['less than none', count(-1, 20), count(1, 500), { max_ratio: 1 }, 'error'],
    ['a total of nothing', count(0, 0), count(0, 0), { max_ratio: 1 }, 'inconclusive'],
    ['what PromQL extrapolates', count(60.4, 299.7), count(24.6, 300.2), { max_ratio: 1 }, 'fail'],
  ])('%s', (_what, candidate, stable, given, outcome) => {
    const verdict = again(2, candidate, stable, given);
    expect(verdict.outcome).toBe(outcome);
    // It travels as JSON, which knows neither NaN nor infinity.
    expect(JSON.parse(JSON.stringify(verdict))).toEqual(verdict);
  });

  test('a release as good as the limit allows is blamed in less than 5 % of deployments', () => {
    const random = generator(13);
    const runs = 1_000;
    let blamed = 0;
    for (let run = 0; run < runs; run += 1) {
      const totals = { candidate: 0, stable: 0 };
      let looks = NO_LOOKS;
      // 60 looks at counts that grow, which is worse than as many that know nothing of each other.
      for (let number = 1; number <= 60; number += 1) {
        for (let request = 0; request < 20; request += 1) {
          if (random() < 0.12) totals.candidate += 1;
          if (random() < 0.1) totals.stable += 1;
        }
        const n = 20 * number;
        const given = { max_ratio: 1.2, looks: 1 };
        const judged = look(count(totals.candidate, n), count(totals.stable, n), given, looks);
        looks = judged.looks;
        if (judged.verdict.outcome === 'fail') {
          blamed += 1;
          break;
        }
      }
    }
    expect(blamed / runs).toBeLessThan(0.05);
  });

  test('one that is three times as bad is blamed within a few looks', () => {
    const random = generator(17);
    for (let run = 0; run < 100; run += 1) {
      const totals = { candidate: 0, stable: 0 };
      let judged = look(count(0, 100), count(0, 100), { max_ratio: 1.2 });
      let number = 1;
      for (; judged.verdict.outcome !== 'fail' && number < 60; number += 1) {
        for (let request = 0; request < 100; request += 1) {
          if (random() < 0.3) totals.candidate += 1;
          if (random() < 0.1) totals.stable += 1;
        }
        const [ours, theirs] = [totals.candidate, totals.stable];
        const n = 100 * number;
        judged = look(count(ours, n), count(theirs, n), { max_ratio: 1.2 }, judged.looks);
      }
      expect(number).toBeLessThan(15);
    }
  });

  test('it never fails on a share below the limit', () => {
    const n = fc.integer({ min: 0, max: 2_000 });
    fc.assert(
      fc.property(n, n, n, n, fc.double({ min: 1, max: 3, noNaN: true }), (a, b, c, d, ratio) => {
        const [bad, of, stableBad, stableOf] = [Math.min(a, b), b, Math.min(c, d), d];
        const given = { max_ratio: ratio, looks: 1 };
        const { verdict } = look(count(bad, of), count(stableBad, stableOf), given);
        if (verdict.outcome !== 'fail') return;
        expect(bad * stableOf).toBeGreaterThan(ratio * stableBad * of * (1 - 1e-9));
      }),
    );
  });
});

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
