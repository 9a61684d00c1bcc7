import { z } from 'zod';
import { duration } from './duration-field.ts';

const action = z.enum(['proceed', 'pause', 'rollback']);

/** `gates` of a `zdd.yaml`: what a candidate is held to while it has traffic. */
export const gates = z
  .strictObject({
    error_rate: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .describe('Share of failed requests, 0 to 1, that is too much; 1 allows any.'),
    error_for: duration().default(120_000).describe('How long it must be above error_rate.'),
    p99: duration()
      .default(1_200)
      .describe('A request slower than this is bad; more than 1 % of them are too many.'),
    p99_for: duration().default(180_000).describe('How long more than 1 % must be slower.'),
    min_requests: z.int().min(1).default(20).describe('No guard judges fewer requests.'),
    min_errors: z.int().min(1).default(3).describe('Nothing fails by fewer bad requests.'),
    failed_probes: z.int().min(1).default(3).describe('Failed probes in a row that fail.'),
    hung: duration().default(10_000).describe('How long requests may wait while none is answered.'),
    warm_up: duration()
      .default(30_000)
      .describe('Not compared with the old release at the start: only its latency.'),
    on: z
      .strictObject({
        fail: z.enum(['pause', 'rollback']).default('rollback'),
        inconclusive: action.default('pause'),
        error: action.default('pause'),
      })
      .prefault({})
      .describe('What follows when a gate fails, cannot tell, or cannot measure.'),
  })
  .prefault({});
