import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Pace, shuffled } from '../../agent/pipeline/pace.ts';

/** Takes all it may at these moments; those that were given, one entry each. */
function takeAt(pace: Pace, perSecond: number, moments: readonly number[]): number[] {
  return moments.flatMap((now) =>
    Array.from({ length: pace.take(perSecond, 1_000_000, now) }, () => now),
  );
}

function momentsOf(waits: readonly number[]): number[] {
  let now = 1_000_000;
  return waits.map((wait) => {
    now += wait;
    return now;
  });
}

const perSecond = fc.integer({ min: 1, max: 1_000 });

describe('the pace', () => {
  test('is kept within a connection, however irregular the looks are', () => {
    const waits = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 50, maxLength: 300 });
    fc.assert(
      fc.property(perSecond, waits, (rate, gaps) => {
        const moments = momentsOf([5_000, ...gaps]);
        const taken = takeAt(new Pace(), rate, moments).length;
        const due = (gaps.reduce((sum, gap) => sum + gap, 0) / 1_000) * rate;
        expect(taken).toBeLessThanOrEqual(due + 1e-6);
        expect(taken).toBeGreaterThan(due - 1 - 1e-6);
      }),
    );
  });

  test('is never made up for: in no second more than a quarter above it', () => {
    const waits = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 10, maxLength: 100 });
    fc.assert(
      fc.property(perSecond, waits, (rate, gaps) => {
        const taken = takeAt(new Pace(), rate, momentsOf(gaps));
        for (const from of new Set(taken)) {
          const within = taken.filter((at) => at >= from && at < from + 1_000).length;
          expect(within).toBeLessThanOrEqual(rate + 1 + rate * 0.25);
        }
      }),
    );
  });

  test('is one for all that take from it', () => {
    const pace = new Pace();
    const moments = momentsOf(Array.from({ length: 200 }, () => 50));
    const all = moments.flatMap((now) => [pace.take(50, 10, now), pace.take(50, 10, now)]);
    const total = all.reduce((sum, count) => sum + count, 0);
    expect(total).toBeGreaterThan(490);
    expect(total).toBeLessThanOrEqual(500);
  });

  test('gives back what was not used', () => {
    const pace = new Pace();
    pace.take(10, 5, 0);
    expect(pace.take(10, 5, 200)).toBe(2);
    pace.giveBack(2);
    expect(pace.take(10, 5, 200)).toBe(2);
  });
});

test('shuffled has every thing once, and not in the order it had', () => {
  const things = Array.from({ length: 100 }, (_, index) => index);
  expect(shuffled(things).toSorted((a, b) => a - b)).toEqual(things);
  expect(shuffled(things)).not.toEqual(things);
});
