import { expect, test } from 'vitest';
import { analyse } from '../../../agent/core/verdict/analysis.ts';
import { attribute } from '../../../agent/core/verdict/attribution.ts';
import type { Evidence, Tick } from '../../../agent/core/verdict/evidence.ts';
import { judgeErrorRate } from '../../../agent/core/verdict/guard.ts';
import { binOf } from '../../../agent/core/verdict/histogram.ts';
import { judgeTraffic } from '../../../agent/core/verdict/judge.ts';
import { LIMITS } from '../../../bench/verdicts/limits.ts';

const SINCE = 1_000_000;

/** One tick of a minute. */
function tick(from: number, requests: number, failed: number, ms = 20): Tick {
  const latency = new Map([[binOf(ms), requests - failed]]);
  return { from, to: from + 60_000, requests, failed, latency, oneOf: 1 };
}

function evidence(seconds: number, candidate: readonly Tick[], stable: readonly Tick[]): Evidence {
  const now = SINCE + seconds * 1_000;
  return { now, since: SINCE, candidate, stable, source: { kind: 'log' } };
}

function analysis(given: Evidence, hasPassed = true) {
  return analyse(given, LIMITS, judgeTraffic(given, LIMITS, null), hasPassed);
}

const before = [tick(SINCE - 60_000, 500, 0)];

test('waits for the sequential test, then for the warm-up to be over', () => {
  const fast = [tick(SINCE, 500, 0)];
  expect(analysis(evidence(50, fast, before), false).says).toBe('wait');
  expect(analysis(evidence(20, fast, before)).says).toBe('wait');
  expect(analysis(evidence(50, fast, before))).toMatchObject({
    says: 'proceed',
    verdicts: [{}, {}, {}, { gate: 'relative-latency', outcome: 'pass' }],
  });
});

test('one that is slower than stable is for a person', () => {
  const slow = [tick(SINCE, 500, 0, 90)];
  expect(analysis(evidence(50, slow, before))).toMatchObject({
    says: 'pause',
    why: { gate: 'relative-latency' },
  });
});

test('where there are few requests it does not wait for ever', () => {
  const few = [tick(SINCE, 30, 0)];
  expect(analysis(evidence(50, few, before)).says).toBe('wait');
  expect(analysis(evidence(60, few, before)).says).toBe('proceed');
});

test('with few requests in the same minutes, stable is known by the minutes before', () => {
  // 6 % on both: 2 bad ones of 24 are not enough to be seen as a breach by themselves.
  const candidate = [tick(SINCE, 12, 2), tick(SINCE + 60_000, 12, 1)];
  const beside = [tick(SINCE, 12, 1), tick(SINCE + 60_000, 12, 0)];
  const known = [tick(SINCE - 60_000, 180, 11)];
  const alone = evidence(120, candidate, beside);
  expect(attribute(judgeErrorRate(alone, LIMITS), alone, LIMITS).outcome).toBe('fail');
  const both = evidence(120, candidate, [...known, ...beside]);
  expect(attribute(judgeErrorRate(both, LIMITS), both, LIMITS)).toMatchObject({
    outcome: 'inconclusive',
    held: true,
  });
});

test('a guard that has had many windows needs more certainty to blame the release', () => {
  const bad = (from: number) => [tick(from, 100, 9), tick(from + 60_000, 100, 9)];
  const stable = (from: number) => [tick(from, 100, 4), tick(from + 60_000, 100, 4)];
  const early = evidence(120, bad(SINCE), stable(SINCE));
  expect(attribute(judgeErrorRate(early, LIMITS), early, LIMITS).outcome).toBe('fail');
  const from = SINCE + 1_200_000;
  const late = evidence(1_320, bad(from), stable(from));
  expect(attribute(judgeErrorRate(late, LIMITS), late, LIMITS)).toMatchObject({ held: true });
});
