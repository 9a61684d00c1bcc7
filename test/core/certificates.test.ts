import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { covers, expiryOf, namesServed } from '../../agent/core/certificates.ts';

const DAY_MS = 86_400_000;
const name = fc.constantFrom<string>(
  'a.example.com',
  'b.example.com',
  '*.example.com',
  'c.example.org',
);
const certificate = fc.record({
  id: fc.string({ minLength: 1 }),
  names: fc.uniqueArray(name, { minLength: 1 }),
  addedAt: fc.nat(20),
});

describe('each name', () => {
  test('has exactly one certificate, the one that came last', () => {
    const all = fc.uniqueArray(certificate, { selector: ({ id }) => id });
    fc.assert(
      fc.property(all, (known) => {
        const served = namesServed(known);
        const names = new Set(known.flatMap((each) => each.names));
        expect([...served.values()].flat().toSorted()).toEqual([...names].toSorted());
        for (const [id, own] of served) {
          const owner = known.find((each) => each.id === id);
          for (const one of own) {
            expect(owner?.names).toContain(one);
            const latest = Math.max(
              ...known.filter((each) => each.names.includes(one)).map((each) => each.addedAt),
            );
            expect(owner?.addedAt).toBe(latest);
          }
        }
        // The order in which they are read does not matter.
        const turned = namesServed(known.toReversed());
        expect(new Map([...turned].map(([id, own]) => [id, own.toSorted()]))).toEqual(
          new Map([...served].map(([id, own]) => [id, own.toSorted()])),
        );
      }),
    );
  });

  test('a wildcard is for one label, as TLS clients read it', () => {
    expect(covers(['*.example.com'], 'a.example.com')).toBe(true);
    expect(covers(['*.example.com'], 'example.com')).toBe(false);
    expect(covers(['*.example.com'], 'a.b.example.com')).toBe(false);
    expect(covers(['a.example.com'], 'a.example.com')).toBe(true);
  });
});

test('what is left of a life is told in good time, also of a short one', () => {
  const quarter = { notBefore: 0, notAfter: 90 * DAY_MS };
  const week = { notBefore: 0, notAfter: 6 * DAY_MS };
  for (const [life, day, said] of [
    [quarter, 0, 'good'],
    [quarter, 75.9, 'good'],
    [quarter, 76.1, 'soon'],
    [quarter, 87.1, 'very_soon'],
    [quarter, 90, 'expired'],
    [week, 4.7, 'good'],
    [week, 4.9, 'soon'],
    [week, 5.5, 'very_soon'],
  ] as const) {
    expect([day, expiryOf(life, day * DAY_MS)]).toEqual([day, said]);
  }
});
