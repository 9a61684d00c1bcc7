import { z } from 'zod';

/** How a run of a job ended. `missed`: it was due and did not begin. */
export const cronOutcome = z.enum(['running', 'ok', 'failed', 'missed']);
export type CronOutcome = z.infer<typeof cronOutcome>;

/** One job in `status`. */
export const cronStatus = z.object({
  job: z.string(),
  schedule: z.string(),
  zone: z.string(),
  /** ms since the epoch. */
  nextAt: z.number().nullable(),
  last: z
    .object({
      outcome: cronOutcome,
      /** When it was due. */
      at: z.number(),
      /** Null while it runs, and when it did not run. */
      ms: z.number().nullable(),
      release: z.string(),
      detail: z.string(),
    })
    .nullable(),
});
export type CronStatus = z.infer<typeof cronStatus>;
