import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { businessChange } from '../../../agent/core/verdict/business.ts';
import {
  BINS,
  binOf,
  type Histogram,
  lowerBound,
  merge,
  percentile,
  quantile,
  slowerThan,
  tellPercentile,
  total,
  upperBound,
} from '../../../agent/core/verdict/histogram.ts';
import { wilson } from '../../../agent/core/verdict/interval.ts';
import { mannWhitney } from '../../../agent/core/verdict/mann-whitney.ts';
import { binomialTail, logGamma, normalTail } from '../../../agent/core/verdict/special.ts';
import {
  cleanPassAfter,
  decide,
  hypotheses,
  logLikelihoodRatio,
} from '../../../agent/core/verdict/sprt.ts';

// Every expected number below that is not a round one was computed with SciPy 1.17.1
// (scipy.special.gammaln, scipy.stats.binom.sf, norm.sf, mannwhitneyu, binomtest().proportion_ci).

const counts = (...values: readonly (readonly [ms: number, count: number])[]): Histogram =>
  new Map(values.map(([ms, count]) => [binOf(ms), count]));

const histograms = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 1, max: 50 })), {
    minLength: 1,
    maxLength: 30,
  })
  .map((pairs) => merge(pairs.map(([ms, count]) => new Map([[binOf(ms), count]]))));

describe('the special functions', () => {
  it.each([
    [0.5, 0.5723649429247],
    [1.5, -0.12078223763524526],
    [10, 12.801827480081469],
    [1234.5, 7550.550901077894],
    [1e6, 12815504.569147611],
  ])('ln gamma of %d', (x, expected) => {
    expect(logGamma(x)).toBeCloseTo(expected, 7);
  });

  it.each([
    [3, 10, 0.5, 0.9453125],
    [14, 15, 0.25, 4.284083843231201e-8],
    [14, 20, 0.25, 2.9511746106436476e-5],
    [1, 1000, 0.001, 0.6323045752290359],
    [60, 1000, 0.05, 0.08673217838486103],
    [500, 10000, 0.05, 0.506406635689192],
    [9, 40, 0.2, 0.40687286985161053],
    [2, 3, 0.99, 0.999702],
  ])('P(Bin(k, w) >= x) for x = %d, k = %d, w = %d', (x, k, w, expected) => {
    expect(binomialTail(x, k, w) / expected).toBeCloseTo(1, 8);
  });

  it.each([
    [0, 0.5],
    [1, 0.15865525393145707],
    [1.959963984540054, 0.025],
    [3, 0.0013498980316300933],
    [5, 2.866515718791933e-7],
    [-1, 0.8413447460685429],
  ])('the normal tail at %d', (z, expected) => {
    expect(Math.abs(normalTail(z) - expected)).toBeLessThan(1.2e-7);
  });

  it('give a tail that falls with x, rises with w, and is the sum of its terms', () => {
    const cases = fc.tuple(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0.01, max: 0.99, noNaN: true }),
    );
    fc.assert(
      fc.property(cases, ([k, w]) => {
        let sum = 0;
        for (let x = k; x >= 0; x -= 1) {
          const choose = Math.exp(logGamma(k + 1) - logGamma(x + 1) - logGamma(k - x + 1));
          sum += choose * w ** x * (1 - w) ** (k - x);
          expect(binomialTail(x, k, w)).toBeCloseTo(sum, 9);
        }
      }),
    );
  });
});

describe("Wilson's interval", () => {
  it.each([
    [0, 330, 0, 0.011506835712569087],
    [14, 188, 0.04487441616636021, 0.12110356907433248],
    [3, 60, 0.017149502164395668, 0.13700516476348518],
    [330, 330, 0.9884931642874308, 1],
  ])('of %d of %d', (bad, n, low, high) => {
    expect(wilson(bad, n).low).toBeCloseTo(low, 10);
    expect(wilson(bad, n).high).toBeCloseTo(high, 10);
  });

  it('always holds the share itself', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.integer({ min: 1, max: 500 }), (bad, more) => {
        const n = bad + more;
        const { low, high } = wilson(bad, n);
        expect(low).toBeLessThanOrEqual(bad / n);
        expect(high).toBeGreaterThanOrEqual(bad / n);
      }),
    );
  });
});

describe("Wald's test", () => {
  // ln(0.95/0.01) = 4.553877, ln(0.05/0.99) = -2.985682; 330 ln(0.99/0.999) = -2.986446.
  const test = hypotheses(0.01, null);

  it('tells 0.1 % from 1 % when nothing is known of stable', () => {
    expect(test).toEqual({ p0: 0.001, p1: 0.01, alpha: 0.01, beta: 0.05 });
  });

  it('passes a clean candidate after 330 requests, not after 329', () => {
    expect(cleanPassAfter(test)).toBe(330);
    expect(decide(0, 329, test)).toBe('undecided');
    expect(decide(0, 330, test)).toBe('pass');
  });

  it('adds ln 10 for a bad request and takes 0.00905 for a good one', () => {
    expect(logLikelihoodRatio(14, 188, test)).toBeCloseTo(30.66151992145092, 10);
    expect(decide(2, 2, test)).toBe('fail');
    expect(decide(1, 5, test)).toBe('undecided');
  });

  it('measures against stable: its rate by (e + 1/2) / (n + 1), and twice that', () => {
    const { p0, p1 } = hypotheses(0.01, { bad: 20, n: 999 });
    expect(p0).toBeCloseTo(20.5 / 1000, 12);
    expect(p1).toBeCloseTo(41 / 1000, 12);
    expect(hypotheses(0.01, { bad: 0, n: 99_999 }).p0).toBe(0.001);
  });

  it('never comes to p0 >= p1, whatever it is given', () => {
    const seen = fc
      .tuple(fc.nat(10_000), fc.nat(10_000))
      .map(([bad, good]) => ({ bad, n: bad + good }));
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), seen, (limit, stable) => {
        const { p0, p1 } = hypotheses(limit, stable);
        expect(p0).toBeGreaterThan(0);
        expect(p1).toBeGreaterThan(p0);
        expect(p1).toBeLessThan(1);
      }),
    );
  });

  it('never leans to a pass by one more bad request', () => {
    const order = ['pass', 'undecided', 'fail'];
    fc.assert(
      fc.property(fc.nat(50), fc.integer({ min: 51, max: 5_000 }), (bad, n) => {
        const less = order.indexOf(decide(bad, n, test));
        expect(order.indexOf(decide(bad + 1, n, test))).toBeGreaterThanOrEqual(less);
      }),
    );
  });
});

describe('the histogram', () => {
  it('knows every latency to 3 %, and whole milliseconds below 32', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 20 - 1 }), (ms) => {
        const bin = binOf(ms);
        expect(lowerBound(bin)).toBeLessThanOrEqual(ms);
        expect(upperBound(bin)).toBeGreaterThanOrEqual(ms);
        expect(upperBound(bin) - lowerBound(bin)).toBeLessThanOrEqual(ms / 32);
        expect(bin).toBeLessThan(BINS);
      }),
    );
    expect(binOf(2 ** 40)).toBe(BINS - 1);
    expect(binOf(-1)).toBe(0);
  });

  it('gives the quantile of the values themselves, to the width of a bin', () => {
    const values = fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, share) => {
        const sorted = [...list].sort((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(share * list.length - 1e-9) - 1)] ?? 0;
        const found = quantile(merge(list.map((ms) => new Map([[binOf(ms), 1]]))), share);
        expect(found).toBe(upperBound(binOf(exact)));
      }),
    );
  });

  it('counts as slow only what certainly is', () => {
    const seen = counts([1_199, 4], [1_300, 3], [5_000, 2]);
    expect(slowerThan(seen, 1_200)).toBe(5);
    expect(total(seen)).toBe(9);
  });

  it.each([
    [50, 5],
    [95, 59],
    [99, 299],
  ] as const)('shows no p%d below n = %d', (which, n) => {
    expect(percentile(counts([10, n - 1]), which)).toBeNull();
    expect(tellPercentile(counts([10, n - 1]), which)).toBe(
      `p${which}: n too small (${n - 1} of ${n})`,
    );
    expect(tellPercentile(counts([10, n]), which)).toBe(`p${which} 10 ms`);
  });
});

describe('Mann-Whitney on bins', () => {
  it('is what SciPy says of the same values, ties corrected', () => {
    const candidate = counts([1, 10], [2, 20], [3, 30], [10, 5]);
    const stable = counts([1, 20], [2, 25], [3, 10], [10, 2]);
    const found = mannWhitney(candidate, stable);
    expect(found.effect).toBeCloseTo(0.6828609986504723, 12);
    expect(found.p).toBeCloseTo(0.00012473269921820315, 7);
    const same = counts([5, 12], [6, 12], [7, 12], [8, 12], [9, 12]);
    expect(mannWhitney(same, same).p).toBeCloseTo(0.5010685024976869, 6);
    const apart = mannWhitney(
      counts([20, 15], [21, 15], [22, 15], [23, 15]),
      counts([10, 20], [11, 20], [12, 20], [20, 20]),
    );
    expect(apart.effect).toBeCloseTo(0.96875, 12);
    expect(apart.p).toBeLessThan(1e-15);
  });

  it('turns round when the sides do', () => {
    fc.assert(
      fc.property(histograms, histograms, (a, b) => {
        const there = mannWhitney(a, b);
        const back = mannWhitney(b, a);
        expect(there.effect + back.effect).toBeCloseTo(1, 10);
        expect(there.medianRatio * back.medianRatio).toBeCloseTo(1, 10);
      }),
    );
  });
});

describe('the business metric', () => {
  it('is (c - b) / sqrt(b + c)', () => {
    const { z, change } = businessChange({ candidate: 90, baseline: 120, exposure: 1 });
    expect(z).toBeCloseTo(-2.0701966780270626, 12);
    expect(change).toBe(-0.25);
  });

  it('has an interval that excludes 0 exactly when |z| > 1.96', () => {
    fc.assert(
      fc.property(fc.nat(2_000), fc.integer({ min: 1, max: 2_000 }), (candidate, baseline) => {
        const { z, interval } = businessChange({ candidate, baseline, exposure: 1 });
        const excludes = interval !== null && (interval.high < 0 || interval.low > 0);
        expect(excludes).toBe(Math.abs(z) > 1.959963984540054);
      }),
    );
  });
});
