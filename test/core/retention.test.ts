import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AppState, newApp } from '../../agent/core/model.ts';
import { type KeptRelease, releasesInUse, toPrune } from '../../agent/core/retention.ts';

function kept(number: number, good: boolean, bytes = 1): KeptRelease {
  return { release: `r${number}-0`, number, bytes, good };
}

function live(number: number): AppState {
  const stable = { release: `r${number}-0`, deployment: number };
  return { ...newApp('shop'), stopped: null, stable };
}

const NO_BYTE_LIMIT = Number.POSITIVE_INFINITY;

describe('pruning', () => {
  test('keeps the newest and deletes the oldest', () => {
    const releases = [1, 2, 3, 4].map((number) => kept(number, true));
    expect(toPrune(releases, live(4), { releases: 2, bytes: NO_BYTE_LIMIT })).toEqual([
      'r1-0',
      'r2-0',
    ]);
  });

  test('failed deploys never evict the last good release', () => {
    const releases = [kept(1, true), kept(2, true), ...[3, 4, 5, 6].map((n) => kept(n, false))];
    const pruned = toPrune(releases, live(2), { releases: 2, bytes: NO_BYTE_LIMIT });
    expect(pruned).not.toContain('r1-0');
    expect(pruned).toEqual(['r3-0', 'r4-0', 'r5-0', 'r6-0']);
  });

  test('a byte budget of nothing still keeps what serves and the way back', () => {
    const releases = [1, 2, 3].map((number) => kept(number, true, 1_000));
    expect(toPrune(releases, live(3), { releases: 9, bytes: 1 })).toEqual(['r1-0']);
  });

  test('never deletes what is in use, nor the last good one besides', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
        fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 5 }),
        (numbers, goods, stable, keep) => {
          const releases = numbers.map((number) => kept(number, goods[number - 1] === true));
          const state = live(stable);
          const pruned = toPrune(releases, state, { releases: keep, bytes: NO_BYTE_LIMIT });
          const inUse = releasesInUse(state);
          const lastGood = releases
            .filter(({ good, release }) => good && !inUse.has(release))
            .toSorted((a, b) => b.number - a.number)[0];
          expect(pruned.some((release) => inUse.has(release))).toBe(false);
          expect(pruned).not.toContain(lastGood?.release);
        },
      ),
    );
  });
});
