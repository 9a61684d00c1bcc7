import { describe, expect, test } from 'vitest';
import { judge, type Limits, type Sample } from '../../agent/core/gate.ts';

const LIMITS: Limits = { errorRate: 0.05, minRequests: 20, minErrors: 3, failedProbes: 3 };
const QUIET: Sample = { requests: 0, errors: 0, crashes: 0, failedProbes: 0 };

describe('the verdict on a candidate', () => {
  test('passes when nothing was asked of it', () => {
    expect(judge(QUIET, LIMITS)).toEqual({ verdict: 'pass' });
  });

  test('is not given on too few requests, however bad they are', () => {
    expect(judge({ ...QUIET, requests: 19, errors: 19 }, LIMITS).verdict).toBe('pass');
  });

  test('is not given on too few errors', () => {
    const limits = { ...LIMITS, errorRate: 0 };
    expect(judge({ ...QUIET, requests: 100, errors: 2 }, limits).verdict).toBe('pass');
    expect(judge({ ...QUIET, requests: 100, errors: 3 }, limits).verdict).toBe('fail');
  });

  test('fails above the limit and passes at it', () => {
    expect(judge({ ...QUIET, requests: 100, errors: 5 }, LIMITS).verdict).toBe('pass');
    expect(judge({ ...QUIET, requests: 100, errors: 6 }, LIMITS)).toEqual({
      verdict: 'fail',
      metric: 'error rate',
      value: 0.06,
      threshold: 0.05,
      n: 100,
    });
  });

  test('fails on one crash, and says so rather than the errors it caused', () => {
    expect(
      judge({ requests: 100, errors: 100, crashes: 1, failedProbes: 9 }, LIMITS),
    ).toMatchObject({
      verdict: 'fail',
      metric: 'crashes',
    });
  });

  test('fails on as many failed probes in a row as the limit says', () => {
    expect(judge({ ...QUIET, failedProbes: 2 }, LIMITS).verdict).toBe('pass');
    expect(judge({ ...QUIET, failedProbes: 3 }, LIMITS)).toMatchObject({ metric: 'failed probes' });
  });
});
