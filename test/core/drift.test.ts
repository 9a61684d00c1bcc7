import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeDrift, type Recurrences, restsUntil } from '../../agent/core/drift.ts';

const WEIGHT = 'shop/r1-d1-web-1: weight 0, wanted 100';
const FILE = 'haproxy.cfg: managed region differs from line 12 on';
const LOOK_MS = 4_000;

/** Looks every 4 s at a difference that is undone at once whenever it is repaired. */
function fight(looks: number): { repairs: number[]; tellings: number[] } {
  let known: Recurrences = new Map();
  const repairs: number[] = [];
  const tellings: number[] = [];
  for (let look = 0; look < looks; look += 1) {
    const now = look * LOOK_MS;
    const { repair, nowResting, recurrences } = judgeDrift(known, [WEIGHT], now);
    if (repair.length > 0) repairs.push(now);
    if (nowResting.length > 0) tellings.push(now);
    known = recurrences;
  }
  return { repairs, tellings };
}

describe('drift that comes back', () => {
  test('is repaired three times, then left alone for a minute, and then for longer', () => {
    const { repairs, tellings } = fight(300);
    expect(repairs.slice(0, 3)).toEqual([0, 4_000, 8_000]);
    expect(tellings.slice(0, 3)).toEqual([12_000, 76_000, 200_000]);
    expect(repairs.slice(3, 5)).toEqual([72_000, 196_000]);
  });

  test('is fought over less than three times an hour in the end', () => {
    const hour = 3_600_000 / LOOK_MS;
    expect(fight(5 * hour).repairs.filter((at) => at >= 4 * 3_600_000).length).toBeLessThan(3);
  });

  test('is a new one after ten minutes without it', () => {
    let known: Recurrences = new Map();
    for (let time = 0; time < 20; time += 1) {
      const { repair, recurrences } = judgeDrift(known, [WEIGHT], time * 700_000);
      expect(repair).toEqual([WEIGHT]);
      known = recurrences;
    }
  });

  test('does not keep another from being repaired, and says until when it rests', () => {
    let known: Recurrences = new Map();
    for (const now of [0, 4_000, 8_000, 12_000])
      known = judgeDrift(known, [WEIGHT], now).recurrences;
    expect(judgeDrift(known, [WEIGHT, FILE], 16_000)).toMatchObject({
      repair: [FILE],
      nowResting: [],
    });
    expect(restsUntil(known, WEIGHT.replace('100', '50'), 16_000)).toBe(72_000);
    expect(restsUntil(known, FILE, 16_000)).toBeNull();
  });

  test('never both rests and is repaired, whatever comes when', () => {
    const looks = fc.array(
      fc.record({ waitMs: fc.nat(900_000), seen: fc.subarray([WEIGHT, FILE]) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(looks, (sequence) => {
        let known: Recurrences = new Map();
        let now = 0;
        for (const { waitMs, seen } of sequence) {
          now += waitMs;
          const resting = seen.filter((what) => restsUntil(known, what, now) !== null);
          const { repair, nowResting, recurrences } = judgeDrift(known, seen, now);
          expect([...repair, ...nowResting, ...resting].toSorted()).toEqual([...seen].toSorted());
          known = recurrences;
        }
      }),
    );
  });
});
