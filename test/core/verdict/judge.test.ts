import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeBusiness } from '../../../agent/core/verdict/business.ts';
import type { Evidence, Tick } from '../../../agent/core/verdict/evidence.ts';
import { binOf } from '../../../agent/core/verdict/histogram.ts';
import { judgeCrashes, judgeHung, judgeProbes } from '../../../agent/core/verdict/instances.ts';
import { failing, isSettled, judgeTraffic, overall } from '../../../agent/core/verdict/judge.ts';
import { judgeRelativeLatency } from '../../../agent/core/verdict/relative-latency.ts';
import { DEFAULT_ACTIONS, tell, type Verdict } from '../../../agent/core/verdict/verdict.ts';
import { LIMITS } from '../../../bench/verdicts/limits.ts';

const SWITCH = 1_000_000;

/** Ticks of 5 s: so many requests in each, so many of them failed, all others this slow. */
function ticks(from: number, to: number, requests: number, failed: number, ms = 20): Tick[] {
  const list: Tick[] = [];
  for (let at = from; at < to; at += 5_000) {
    const latency = new Map(requests > failed ? [[binOf(ms), requests - failed]] : []);
    list.push({ from: at, to: at + 5_000, requests, failed, latency, oneOf: 1 });
  }
  return list;
}

function evidence(seconds: number, candidate: readonly Tick[], stable: readonly Tick[]): Evidence {
  const source = { kind: 'log' } as const;
  return { now: SWITCH + seconds * 1_000, since: SWITCH, candidate, stable, source };
}

const judge = (given: Evidence, settled: Verdict | null = null) => {
  const [errors, latency, sequential] = judgeTraffic(given, LIMITS, settled);
  if (!errors || !latency || !sequential) throw new Error('three gates judge traffic');
  return { errors, latency, sequential };
};

const quiet = ticks(SWITCH - 300_000, SWITCH, 50, 0);

describe('the error rate', () => {
  it('fails when it is above 1 % for 2 minutes, not before', () => {
    const bad = ticks(SWITCH, SWITCH + 120_000, 50, 1);
    expect(judge(evidence(100, bad.slice(0, 20), quiet)).errors).toMatchObject({
      outcome: 'inconclusive',
      because: 'above the limit, not yet for 120 s',
    });
    const { errors } = judge(evidence(120, bad, quiet));
    expect(errors).toMatchObject({ outcome: 'fail', action: 'rollback', value: 0.02, n: 1_200 });
    expect(tell(errors)).toBe(
      'fail: error rate 2.0 % (limit 1.0 %, n = 1200, 95 %: 1.3 % to 3.0 %, 120 s); above the limit for 120 s',
    );
  });

  it('forgives a burst that is over', () => {
    const burst = [
      ...ticks(SWITCH, SWITCH + 20_000, 50, 25),
      ...ticks(SWITCH + 20_000, SWITCH + 120_000, 50, 0),
    ];
    expect(judge(evidence(120, burst, quiet)).errors.outcome).toBe('inconclusive');
  });

  it.each([
    ['19 requests', ticks(SWITCH, SWITCH + 5_000, 19, 19), 'n too small (19 of 20)'],
    ['no requests', [], 'n too small (0 of 20)'],
  ])('says nothing on %s', (_, seen, because) => {
    expect(judge(evidence(120, seen, quiet)).errors).toMatchObject({
      outcome: 'inconclusive',
      action: 'pause',
      because,
    });
  });

  it('passes with 2 errors, however few the requests', () => {
    const seen = [...ticks(SWITCH + 30_000, SWITCH + 35_000, 10, 1)];
    seen.push(...ticks(SWITCH + 90_000, SWITCH + 95_000, 10, 1));
    expect(judge(evidence(120, seen, quiet)).errors.outcome).toBe('pass');
  });
});

describe('latency', () => {
  it('fails when more than 1 % are slower than 1200 ms for 3 minutes', () => {
    const slow = ticks(SWITCH, SWITCH + 180_000, 10, 0, 1_500);
    const { latency } = judge(evidence(180, slow, quiet));
    expect(latency).toMatchObject({ outcome: 'fail', value: 1, n: 360 });
    expect(latency.because).toContain('p99 1503 ms');
  });

  it('shows no p99 on fewer than 299, and judges the share of slow ones all the same', () => {
    const slow = ticks(SWITCH, SWITCH + 180_000, 2, 0, 1_500);
    const { latency } = judge(evidence(180, slow, quiet));
    expect(latency.outcome).toBe('fail');
    expect(latency.because).toContain('p99: n too small (72 of 299)');
  });

  it('is inconclusive without the log', () => {
    const source = { kind: 'counters', why: '3.0 % of the log is missing' } as const;
    const given = { ...evidence(180, ticks(SWITCH, SWITCH + 180_000, 10, 0), quiet), source };
    const { errors, latency } = judge(given);
    expect(latency.outcome).toBe('inconclusive');
    expect(errors.because).toContain("by HAProxy's counters: 3.0 % of the log is missing");
    expect(judgeRelativeLatency(given, LIMITS).outcome).toBe('inconclusive');
  });
});

describe('the sequential test', () => {
  it('does not take 250 good requests of stable for proof that it is never slow', () => {
    const stable = ticks(SWITCH - 5_000, SWITCH, 250, 0);
    const five = [
      ...ticks(SWITCH, SWITCH + 5_000, 495, 0),
      ...ticks(SWITCH, SWITCH + 5_000, 5, 0, 2_000),
    ];
    expect(judge(evidence(5, five, stable)).sequential.outcome).toBe('inconclusive');
    // Of a stable of which more is known it is one.
    expect(
      judge(evidence(5, five, ticks(SWITCH - 5_000, SWITCH, 5_000, 0))).sequential.outcome,
    ).toBe('fail');
  });

  it('passes a clean candidate with its 330th request, and then keeps its word', () => {
    expect(judge(evidence(5, ticks(SWITCH, SWITCH + 5_000, 329, 0), [])).sequential.outcome).toBe(
      'inconclusive',
    );
    const { sequential } = judge(evidence(5, ticks(SWITCH, SWITCH + 5_000, 330, 0), []));
    expect(sequential.outcome).toBe('pass');
    expect(isSettled(sequential)).toBe(true);
    const later = judge(evidence(10, ticks(SWITCH, SWITCH + 10_000, 330, 5), []), sequential);
    expect(later.sequential).toBe(sequential);
  });

  it('counts slow requests as bad', () => {
    const { sequential } = judge(evidence(5, ticks(SWITCH, SWITCH + 5_000, 4, 0, 2_000), []));
    expect(sequential).toMatchObject({ outcome: 'fail', value: 1, n: 4 });
    expect(sequential.because).toContain('0 failed and 4 slower than 1200 ms');
  });

  it('measures against stable where stable has failed, not where it had few requests', () => {
    const clean = ticks(SWITCH, SWITCH + 5_000, 100, 0);
    const threshold = (stable: readonly Tick[]) =>
      judge(evidence(5, clean, stable)).sequential.threshold;
    expect(threshold(ticks(SWITCH - 5_000, SWITCH, 50, 0))).toBe(0.01);
    expect(threshold(ticks(SWITCH - 5_000, SWITCH, 10, 5))).toBe(0.01);
    expect(threshold(ticks(SWITCH - 5_000, SWITCH, 999, 20))).toBeCloseTo(0.041, 12);
  });

  it('asks for 3 bad requests, though two would do by the formula', () => {
    const two = judge(evidence(5, ticks(SWITCH, SWITCH + 5_000, 2, 2), []));
    expect(two.sequential.outcome).toBe('inconclusive');
    expect(judge(evidence(5, ticks(SWITCH, SWITCH + 5_000, 3, 3), [])).sequential.outcome).toBe(
      'fail',
    );
  });

  it('is off where every error is allowed', () => {
    const given = evidence(5, ticks(SWITCH, SWITCH + 5_000, 90, 90), []);
    const verdicts = judgeTraffic(given, { ...LIMITS, errorRate: 1 }, null);
    expect(failing(verdicts)).toBeNull();
  });
});

describe('attribution', () => {
  const share = (failed: number) => ticks(SWITCH, SWITCH + 120_000, 50, failed);

  it('holds a candidate whose trouble stable has too, and says so', () => {
    const { errors } = judge(evidence(120, share(3), share(3)));
    expect(errors).toMatchObject({ outcome: 'inconclusive', action: 'pause' });
    expect(errors.because).toContain('stable has it too (72 of 1200');
    expect(errors.because).toContain('it is not the release');
  });

  it('holds it by what stable did before the switch, when it has no traffic now', () => {
    const before = ticks(SWITCH - 120_000, SWITCH, 50, 3);
    expect(judge(evidence(120, share(3), before)).errors.action).toBe('pause');
  });

  it('blames a candidate that is worse still', () => {
    const { errors } = judge(evidence(120, share(10), share(3)));
    expect(errors).toMatchObject({ outcome: 'fail', action: 'rollback' });
    expect(errors.because).toContain('but the release is worse');
  });

  it('never turns a pass into anything, and never blames what it was not asked about', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), (ours, theirs) => {
        const { errors } = judge(evidence(120, share(ours), share(theirs)));
        const alone = judge(evidence(120, share(ours), [])).errors;
        if (alone.outcome !== 'fail') expect(errors.outcome).toBe(alone.outcome);
        if (errors.outcome === 'fail') expect(alone.outcome).toBe('fail');
      }),
    );
  });
});

describe('relative latency', () => {
  it('pauses when 60 of 100 pairs and the median by a quarter are slower', () => {
    const slower = ticks(SWITCH, SWITCH + 120_000, 20, 0, 30);
    expect(judgeRelativeLatency(evidence(120, slower, quiet), LIMITS)).toMatchObject({
      outcome: 'fail',
      action: 'pause',
      value: 1,
    });
  });

  it('leaves the warm-up out', () => {
    const warm = [
      ...ticks(SWITCH, SWITCH + 30_000, 500, 0, 900),
      ...ticks(SWITCH + 30_000, SWITCH + 120_000, 20, 0, 20),
    ];
    expect(judgeRelativeLatency(evidence(120, warm, quiet), LIMITS).outcome).toBe('pass');
  });

  it('compares nothing before the warm-up has ended', () => {
    const warm = ticks(SWITCH, SWITCH + 30_000, 500, 0, 900);
    expect(judgeRelativeLatency(evidence(28, warm, quiet), LIMITS)).toMatchObject({
      outcome: 'inconclusive',
      because: 'n too small: the first 30 s are not compared',
    });
  });

  it('needs 50 on each side', () => {
    const few = ticks(SWITCH + 30_000, SWITCH + 35_000, 49, 0, 900);
    expect(judgeRelativeLatency(evidence(120, few, quiet), LIMITS)).toMatchObject({
      outcome: 'inconclusive',
      because: 'n too small (49 and 3000, 50 each)',
    });
  });
});

describe('a business metric', () => {
  const window = { from: SWITCH, to: SWITCH + 60_000 };
  const drop = { candidate: 90, baseline: 130, exposure: 1 };

  it('fires at the second look in a row', () => {
    const once = judgeBusiness('orders', drop, null, window, DEFAULT_ACTIONS);
    expect(once).toMatchObject({ outcome: 'pass', action: 'proceed' });
    expect(once.because).toContain('one more look decides');
    const even = { candidate: 130, baseline: 130, exposure: 1 };
    expect(judgeBusiness('orders', drop, even, window, DEFAULT_ACTIONS).outcome).toBe('pass');
    const twice = judgeBusiness('orders', drop, drop, window, DEFAULT_ACTIONS);
    expect(twice).toMatchObject({ outcome: 'fail', action: 'rollback' });
    expect(tell(twice)).toContain('orders -30.8');
  });

  it('does not fire for a drop below 5 %, however certain', () => {
    const small = { candidate: 96_000, baseline: 100_000, exposure: 1 };
    expect(judgeBusiness('orders', small, small, window, DEFAULT_ACTIONS).outcome).toBe('pass');
  });

  it('scales the baseline by exposure', () => {
    const tenth = { candidate: 10, baseline: 100, exposure: 0.1 };
    expect(judgeBusiness('orders', tenth, tenth, window, DEFAULT_ACTIONS).value).toBeCloseTo(0);
  });
});

describe('instances', () => {
  const window = { from: SWITCH, to: SWITCH + 1_000 };

  it('fail by one crash, or by as many failed probes as are allowed', () => {
    expect(judgeCrashes(0, window, 'rollback').outcome).toBe('pass');
    expect(judgeCrashes(1, window, 'rollback').outcome).toBe('fail');
    expect(judgeProbes(2, 3, window, 'rollback').outcome).toBe('pass');
    expect(judgeProbes(3, 3, window, 'rollback').outcome).toBe('fail');
  });

  const look = (second: number, begun: number, answered: number, current = 9) => ({
    at: SWITCH + second * 1_000,
    begun,
    answered,
    current,
  });

  it('hang when requests are taken and none is answered', () => {
    const looks = [look(0, 0, 0, 0), look(1, 4, 0), look(6, 8, 0), look(11, 9, 0)];
    expect(judgeHung(looks, 10_000, 3, 'rollback')).toMatchObject({ outcome: 'fail', value: 4 });
  });

  it.each([
    ['something was answered', [look(1, 4, 0), look(11, 9, 1)]],
    ['it is not long enough', [look(1, 4, 0), look(10, 9, 0)]],
    ['too few wait', [look(1, 2, 0), look(11, 9, 0)]],
    ['nothing is in flight, whatever the counters say', [look(1, 4, 0, 0), look(11, 4, 0, 0)]],
    ['there was no look', []],
  ])('do not when %s', (_, looks) => {
    expect(judgeHung(looks, 10_000, 3, 'rollback').outcome).toBe('pass');
  });
});

describe('all verdicts together', () => {
  const all = (seen: readonly Tick[], stable = quiet) =>
    judgeTraffic(evidence(120, seen, stable), LIMITS, null);
  const traffic = (failed: number) => ticks(SWITCH, SWITCH + 120_000, 50, failed);

  it('come to a rollback before a pause, and to nothing when all is well or unknown', () => {
    expect(failing(all(traffic(25)))?.action).toBe('rollback');
    const bad = judge(evidence(120, traffic(25), quiet)).errors;
    const slower = { ...bad, action: 'pause' } as const;
    expect(failing([slower, bad])).toBe(bad);
    expect(failing([slower])).toBe(slower);
    expect(failing(all(traffic(0)))).toBeNull();
    expect(failing(all([]))).toBeNull();
  });

  it('know nothing only when none knows anything', () => {
    expect(overall(all(traffic(25)))).toBe('fail');
    expect(overall(all(traffic(0)))).toBe('pass');
    expect(overall(all([]))).toBe('inconclusive');
    expect(overall(all(traffic(3), ticks(SWITCH, SWITCH + 120_000, 50, 3)))).toBe('inconclusive');
  });
});
