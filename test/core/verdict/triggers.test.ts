import fc from 'fast-check';
import { expect, test } from 'vitest';
import { judgeMetric } from '../../../agent/core/verdict/triggers.ts';

const WINDOW = { from: 0, to: 1 };
const judge = (values: Array<number | null>, looks = 2) =>
  judgeMetric('queue', values, { max: 10, min: 1, looks }, WINDOW, 'rollback');

test.each([
  [[], 'inconclusive', 'proceed'],
  [[5], 'pass', 'proceed'],
  [[50], 'pass', 'proceed'],
  [[50, 5, 50], 'pass', 'proceed'],
  [[5, 50, 51], 'fail', 'rollback'],
  [[0, 11], 'fail', 'rollback'],
  [[50, null], 'inconclusive', 'proceed'],
  [[50, null, 50], 'pass', 'proceed'],
])('%j: %s', (values, outcome, action) => {
  expect(judge(values)).toMatchObject({ outcome, action });
});

test('the limit that was crossed is the one that is told', () => {
  expect(judge([0, 0])).toMatchObject({ value: 0, threshold: 1 });
  expect(judge([11, 11])).toMatchObject({ value: 11, threshold: 10 });
});

test('it fails exactly when the last looks are all bad', () => {
  const values = fc.array(fc.option(fc.integer({ min: -5, max: 20 }), { nil: null }), {
    maxLength: 9,
  });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 4 }), (seen, looks) => {
      const last = seen.slice(-looks);
      const bad = last.length === looks && last.every((v) => v !== null && (v > 10 || v < 1));
      expect(judge(seen, looks).outcome === 'fail').toBe(bad);
    }),
  );
});
