import { z } from 'zod';
import { duration } from './duration-field.ts';

/** Longer than any client waits for an answer, ms. */
const LONGEST_MS = 600_000;

/** How an app is switched whose web may not run twice. */
export interface Hold {
  /** How long a new request waits at most while the old release stops and the new one starts, ms. */
  readonly within: number;
  /** How many requests wait at most; each costs HAProxy about 13 kB. */
  readonly requests: number;
}

const DEFAULT_HOLD: Hold = { within: 30_000, requests: 2_000 };

/** The key `hold` of `zdd.yaml`. */
export const hold = z
  .strictObject({
    within: duration()
      .refine((ms) => ms >= 1_000 && ms <= LONGEST_MS, 'expected 1s to 10m')
      .default(DEFAULT_HOLD.within)
      .describe('How long a new request may wait; then it is answered 503 with Retry-After.'),
    requests: z
      .int('expected a whole number ≥ 1')
      .min(1, 'expected a whole number ≥ 1')
      .max(100_000, 'expected at most 100000')
      .default(DEFAULT_HOLD.requests)
      .describe('How many requests may wait; one more is answered 503 at once.'),
  })
  .optional();

/** What of a `zdd.yaml` says whether its web may run twice. */
interface Overlapping {
  readonly hold?: Hold | undefined;
  readonly processes: Readonly<Record<string, { readonly overlap: boolean }>>;
}

/** How an app is switched whose web may not run twice; null: it may. */
export function holdOf({ hold: given, processes }: Overlapping): Hold | null {
  return processes['web']?.overlap === false ? (given ?? DEFAULT_HOLD) : null;
}
