import { z } from 'zod';

const UNIT_BYTES: Record<string, number> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** A size in configuration (`512M`, `2G`; powers of 1024, as systemd reads them), read to bytes. */
export function size(): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^[1-9]\d{0,8}[KMG]$/, 'expected a size such as "512M" or "2G"')
    .transform((text) => Number.parseInt(text, 10) * (UNIT_BYTES[text.slice(-1)] ?? 1));
}
