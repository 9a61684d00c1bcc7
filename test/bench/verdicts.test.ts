import { expect, test } from 'vitest';
import { runReal } from '../../bench/verdicts/real.ts';
import { rowOf } from '../../bench/verdicts/row.ts';
import { generator, simulate } from '../../bench/verdicts/simulate.ts';

const good = { latencyShift: 0, stable: 'good' } as const;

function simulated(truth: Parameters<typeof simulate>[0]) {
  const random = generator(1);
  return rowOf(
    truth,
    'simulation',
    Array.from({ length: 20 }, () => simulate(truth, random)),
  );
}

test('a clean candidate passes after its warm-up, a bad one fails after some 60 requests', () => {
  const clean = simulated({ rps: 20, trueErrorRate: 0, ...good });
  expect(clean).toMatchObject({ runs: 20, fail: 0, pass: 20 });
  expect(clean.medianSecondsToVerdict).toBeGreaterThan(30);
  const bad = simulated({ rps: 1, trueErrorRate: 0.05, ...good });
  expect(bad).toMatchObject({ fail: 20, pass: 0 });
  expect(bad.medianRequestsToVerdict).toBeLessThan(90);
});

test('one that is slower is left to a person', () => {
  const slower = simulated({ rps: 20, trueErrorRate: 0, latencyShift: 100, stable: 'good' });
  expect(slower).toMatchObject({ inconclusive: 20, medianSecondsToVerdict: null });
});

test('through HAProxy, one that only fails is failed at once', async () => {
  const truth = { rps: 50, trueErrorRate: 1, ...good };
  const [run] = await runReal(truth, 1, new AbortController().signal);
  expect(run).toMatchObject({ end: 'fail' });
  expect(run?.requests).toBeGreaterThan(0);
});
