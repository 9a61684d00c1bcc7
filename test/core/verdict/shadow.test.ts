import { describe, expect, it } from 'vitest';
import {
  classOf,
  judgeShadow,
  type ShadowLimits,
  type ShadowTally,
} from '../../../agent/core/verdict/shadow.ts';
import { DEFAULT_ACTIONS, tell } from '../../../agent/core/verdict/verdict.ts';

const LIMITS: ShadowLimits = {
  errorRate: 0.01,
  minRequests: 20,
  minErrors: 3,
  actions: DEFAULT_ACTIONS,
};
const NOBODY = { '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0, none: 0 };
const WINDOW = { from: 0, to: 30_000 };

function tally(judged: number, failed: number): ShadowTally {
  return {
    pairs: judged,
    live: { ...NOBODY, '2xx': judged },
    candidate: { ...NOBODY, '2xx': judged - failed, '5xx': failed },
    judged,
    failed,
    liveLatency: new Map(),
    candidateLatency: new Map(),
  };
}

const judge = (judged: number, failed: number, over = true) =>
  judgeShadow(tally(judged, failed), LIMITS, WINDOW, over);

describe('the verdict over copies', () => {
  it.each([
    [0, 0, 'inconclusive'],
    [19, 19, 'inconclusive'],
    [20, 0, 'pass'],
    // Fewer than 3 fail nothing, however few the requests.
    [20, 2, 'pass'],
    [20, 3, 'fail'],
    [300, 3, 'pass'],
    [299, 3, 'fail'],
  ] as const)('of %i copies %i failed: %s', (judged, failed, outcome) => {
    expect(judge(judged, failed).outcome).toBe(outcome);
  });

  it('fails before the end only what is certain to be above the limit', () => {
    // 3 of 100: 95 % between 1.03 % and 8.5 %; 3 of 200 from 0.5 % on.
    expect(judge(100, 3, false).outcome).toBe('fail');
    expect(judge(200, 3, false)).toMatchObject({
      outcome: 'inconclusive',
      because: 'above the limit, not yet for certain',
    });
    expect(judge(200, 3, true).outcome).toBe('fail');
  });

  it('says what it rests on', () => {
    expect(tell(judge(200, 10))).toBe(
      'fail: copies failed that live answered 5.0 % (limit 1.0 %, n = 200, 95 %: 2.7 % to 9.0 %, 30 s); no user has met it',
    );
    expect(judge(0, 0)).toMatchObject({ value: null, interval: null, action: 'pause' });
  });
});

describe('the class of a status', () => {
  it.each([
    [200, '2xx'],
    [304, '3xx'],
    [404, '4xx'],
    [503, '5xx'],
    [-1, 'none'],
  ] as const)('%i is %s', (status, answer) => expect(classOf(status)).toBe(answer));
});
