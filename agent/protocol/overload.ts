import { z } from 'zod';
import { duration } from './duration-field.ts';
import { MAX_PAGE_BYTES } from './gate.ts';

/** The key `overload` of `zdd.yaml`: what happens when an app has more to do than it can. */
export const overload = z
  .strictObject({
    maxconn: z
      .int('expected a whole number ≥ 1')
      .min(1, 'expected a whole number ≥ 1')
      .max(1_000_000, 'expected at most 1000000')
      .optional()
      .describe('Requests that an instance is given at a time; more wait in HAProxy.'),
    queue: duration()
      .refine((ms) => ms >= 1 && ms <= 600_000, 'expected 1ms to 10m')
      .default(10_000)
      .describe('How long a request waits for an instance; then it is answered 503.'),
    slow_start: duration()
      .refine((ms) => ms <= 3_600_000, 'expected at most 1h')
      .default(0)
      .describe('How long an instance that has come back takes to get its whole share.'),
    page: z
      .string()
      .refine(
        (page) => new TextEncoder().encode(page).length <= MAX_PAGE_BYTES,
        `expected at most ${MAX_PAGE_BYTES} bytes`,
      )
      .refine((page) => !page.includes('\0'), 'expected text without NUL bytes')
      .optional()
      .describe('HTML that HAProxy answers with, and 503, when no instance can.'),
  })
  .prefault({});

/** What happens when an app has more to do than it can. Durations in ms. */
export type Overload = z.output<typeof overload>;
