import { z } from 'zod';
import { parseDuration } from './duration.ts';

/** A duration in configuration, read to milliseconds. */
export function duration(): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^(\d+(\.\d+)?(ms|s|m|h|d))+$/, 'expected a duration such as "30s", "10m" or "1h30m"')
    .transform((text) => parseDuration(text) ?? 0);
}
