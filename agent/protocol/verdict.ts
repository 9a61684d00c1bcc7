import { z } from 'zod';

/** The judgement of one gate, as `why` and the receipt tell it. Additive only. */
export const verdictReport = z.object({
  /** `error-rate`, `latency`, `sequential`, `relative-latency`, `crashes`, `probes`, `hung`, ... */
  gate: z.string(),
  outcome: z.enum(['pass', 'fail', 'inconclusive', 'error']),
  /** What followed: traffic went on, stayed while somebody was told, or went back. */
  action: z.enum(['proceed', 'pause', 'rollback']),
  metric: z.string(),
  value: z.number().nullable(),
  /** `share` is 0 to 1. */
  unit: z.enum(['share', 'count', 'ratio', 'ms', 'z']),
  threshold: z.number(),
  /** Observations the value rests on. */
  n: z.int(),
  /** Where the true value lies, 95 times of 100. */
  interval: z.object({ low: z.number(), high: z.number() }).nullable(),
  /** When the evidence was seen, ms since the epoch. */
  window: z.object({ from: z.number(), to: z.number() }),
  /** 1: every request was judged; k: one of k. */
  oneOf: z.int(),
  because: z.string(),
  /** It would have failed, but the release before has the same trouble. */
  held: z.literal(true).optional(),
  /** All of it in one sentence. */
  says: z.string(),
});
export type VerdictReport = z.infer<typeof verdictReport>;
