import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextTry } from '../../agent/core/renewal.ts';

const HOUR_MS = 3_600_000;
const jitter = fc.double({ min: 0, max: 1, noNaN: true });
const life = fc
  .tuple(fc.integer({ min: 0, max: 2e12 }), fc.integer({ min: HOUR_MS, max: 400 * 24 * HOUR_MS }))
  .map(([notBefore, whole]) => ({ notBefore, notAfter: notBefore + whole }));

describe('a certificate that was issued', () => {
  test('is renewed after two thirds of its life, and before three quarters', () => {
    fc.assert(
      fc.property(life, jitter, (its, by) => {
        const whole = its.notAfter - its.notBefore;
        const part = (nextTry({ life: its, failed: null }, by) - its.notBefore) / whole;
        expect(part).toBeGreaterThanOrEqual(2 / 3 - 1e-9);
        expect(part).toBeLessThan(3 / 4);
      }),
    );
  });

  test('a name without one is tried at once', () => {
    expect(nextTry({ life: null, failed: null }, 0.5)).toBe(0);
  });
});

describe('tries that fail', () => {
  test('come after pauses that grow, never before the renewal is due, and never stop', () => {
    fc.assert(
      fc.property(fc.option(life), fc.nat(40), fc.nat(2e12), jitter, (its, count, at, by) => {
        const failed = { count: count + 1, at };
        const next = nextTry({ life: its, failed }, by);
        const due = nextTry({ life: its, failed: null }, by);
        expect(next).toBeGreaterThanOrEqual(due);
        expect(next).toBeGreaterThanOrEqual(at + 5 * 60_000);
        expect(next).toBeLessThanOrEqual(Math.max(due, at + 15 * HOUR_MS));
        const later = nextTry({ life: its, failed: { count: count + 2, at } }, by);
        expect(later).toBeGreaterThanOrEqual(next);
      }),
    );
  });

  test('an hour never has five of them: more are refused by the CA', () => {
    fc.assert(
      fc.property(jitter, (by) => {
        const tries: number[] = [];
        let at = 0;
        for (let count = 1; count <= 8; count += 1) {
          tries.push(at);
          at = nextTry({ life: null, failed: { count, at } }, by);
        }
        for (const from of tries) {
          const within = tries.filter((each) => each >= from && each < from + HOUR_MS);
          expect(within.length).toBeLessThan(5);
        }
      }),
    );
  });

  test('what could not be renewed in a third of 90 days was tried fifty times', () => {
    const its = { notBefore: 0, notAfter: 90 * 24 * HOUR_MS };
    let at = nextTry({ life: its, failed: null }, 1);
    let count = 0;
    while (at < its.notAfter) {
      count += 1;
      at = nextTry({ life: its, failed: { count, at } }, 1);
    }
    expect(count).toBeGreaterThan(40);
  });
});
