import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ramp } from '../../agent/core/strategy.ts';

test('a ramp is small weights and the holds between them', () => {
  expect(ramp(5, 100, 600_000).slice(0, 4)).toEqual([
    { do: 'weight', percent: 5 },
    { do: 'hold', ms: 30_000, continues: true },
    { do: 'weight', percent: 9.75, continues: true },
    { do: 'hold', ms: 30_000, continues: true },
  ]);
  expect(
    ramp(0, 2, 60_000).flatMap((step) => (step.do === 'weight' ? [step.percent] : [])),
  ).toEqual([0, 1, 2]);
});

test('whatever it is, it begins and ends where it says, takes as long, and never turns back', () => {
  const share = fc.integer({ min: 0, max: 100 });
  fc.assert(
    fc.property(share, share, fc.integer({ min: 0, max: 10_000_000 }), (from, to, ms) => {
      const steps = ramp(from, to, ms);
      const weights = steps.flatMap((step) => (step.do === 'weight' ? [step.percent] : []));
      expect(weights[0]).toBe(from);
      expect(weights.at(-1)).toBe(to);
      const up = weights.every((each, at) => at === 0 || each >= (weights[at - 1] ?? 0));
      const down = weights.every((each, at) => at === 0 || each <= (weights[at - 1] ?? 0));
      expect(up || down).toBe(true);
      const held = steps.reduce((sum, step) => sum + (step.do === 'hold' ? step.ms : 0), 0);
      expect(Math.abs(held - ms)).toBeLessThanOrEqual(weights.length);
    }),
  );
});
