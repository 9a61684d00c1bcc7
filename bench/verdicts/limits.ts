import type { Limits } from '../../agent/core/verdict/evidence.ts';
import { DEFAULT_ACTIONS } from '../../agent/core/verdict/verdict.ts';

/** As zdd.yaml has them unless told otherwise: for the bench, and for tests of the verdicts. */
export const LIMITS: Limits = {
  errorRate: 0.01,
  errorForMs: 120_000,
  p99Ms: 1_200,
  p99ForMs: 180_000,
  minRequests: 20,
  minErrors: 3,
  warmUpMs: 30_000,
  actions: DEFAULT_ACTIONS,
};
