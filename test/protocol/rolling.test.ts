import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Amount,
  boundsFor,
  rollingProblem,
  rollingRefusal,
  rollingText,
  USUAL_ROLLING,
  type WrittenRolling,
} from '../../agent/protocol/rolling.ts';

function written(surge: Amount, unavailable: Amount): WrittenRolling {
  return { ...USUAL_ROLLING, surge, unavailable };
}

test('shares of the instances: up for what may be more, down for what may be fewer', () => {
  const quarter = written({ percent: 25 }, { percent: 25 });
  expect(boundsFor(quarter, 3)).toEqual({ surge: 1, unavailable: 0 });
  expect(boundsFor(quarter, 4)).toEqual({ surge: 1, unavailable: 1 });
  expect(boundsFor(quarter, 10)).toEqual({ surge: 3, unavailable: 2 });
});

test('one instance always serves, whatever is asked for', () => {
  const amount = fc.oneof(fc.record({ count: fc.nat(100) }), fc.record({ percent: fc.nat(300) }));
  fc.assert(
    fc.property(
      amount,
      amount,
      fc.integer({ min: 1, max: 50 }),
      (surge, unavailable, instances) => {
        const bounds = boundsFor(written(surge, unavailable), instances);
        expect(instances - bounds.unavailable).toBeGreaterThanOrEqual(1);
        const stuck = bounds.surge + bounds.unavailable === 0;
        expect(rollingProblem(written(surge, unavailable), instances) === null).toBe(!stuck);
      },
    ),
  );
});

test('what wants both releases side by side, or the whole new one, cannot be rolled', () => {
  const web = { overlap: true, instances: 2 };
  expect(rollingRefusal(USUAL_ROLLING, { processes: { web } })).toBeNull();
  expect(rollingRefusal(USUAL_ROLLING, { processes: { worker: web } })).toBeNull();
  const alone = { ...web, overlap: false };
  expect(rollingRefusal(USUAL_ROLLING, { processes: { web: alone } })).toContain('overlap: false');
  expect(rollingRefusal(USUAL_ROLLING, { shadow: {}, processes: { web } })).toContain('shadow');
});

test('in words', () => {
  expect(rollingText(written({ count: 2 }, { percent: 10 }))).toBe(
    'instance by instance, at most 2 more and 10% fewer, each batch watched for 10.0s',
  );
  expect(rollingProblem(written({ count: 0 }, { percent: 10 }), 4)).toBe(
    'max_surge 0 and max_unavailable 10% leave no room to replace one of 4 web instances: set max_surge: 1',
  );
});
