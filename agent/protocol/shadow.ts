import { z } from 'zod';
import { duration } from './duration-field.ts';

/** Headers that a copy has when the live request had them. None of them says who somebody is. */
export const SHADOW_HEADERS = [
  'host',
  'user-agent',
  'accept',
  'accept-language',
  'accept-encoding',
  'content-type',
  'if-none-match',
  'if-modified-since',
  'range',
  'x-requested-with',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-prefix',
] as const;

export const shadowShare = z
  .string()
  .regex(/^(100|\d{1,2}(\.\d{1,2})?)%$/, 'expected a share of requests such as "10%" or "0.5%"')
  .transform((text) => Number.parseFloat(text) / 100)
  .refine((part) => part > 0, 'expected more than 0%');

export const shadowTime = duration().refine(
  (ms) => ms > 0 && ms <= 3_600_000,
  'expected more than 0s and at most 1h',
);

/** `0.5 %` */
export function percentText(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}

const header = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, 'expected the name of a header such as "x-tenant"')
  .transform((name) => name.toLowerCase())
  .refine(
    (name) => !['connection', 'content-length', 'transfer-encoding', 'x-zdd-shadow'].includes(name),
    'expected a header that says something about the request, not about its connection',
  );

const path = z
  .string()
  .regex(/^\/[A-Za-z0-9._~/-]*$/, 'expected a path such as "/api/search"')
  .max(200, 'expected at most 200 characters');

/** `shadow` of a `zdd.yaml`: live requests copied to the new release before it has any traffic. */
export const shadow = z
  .strictObject({
    share: shadowShare.describe(
      'The share of live GET and HEAD requests that is copied, such as "10%".',
    ),
    for: shadowTime.default(30_000).describe('How long.'),
    timeout: duration()
      .refine((ms) => ms > 0 && ms <= 60_000, 'expected more than 0s and at most 60s')
      .default(5_000)
      .describe('How long the new release has to answer a copy.'),
    headers: z
      .array(header)
      .max(16, 'expected at most 16 headers')
      .default([])
      .describe(
        'Headers that copies have beside the harmless ones. Cookie and Authorization only if named.',
      ),
    bodies: z
      .array(path)
      .max(32, 'expected at most 32 paths')
      .default([])
      .describe(
        'Paths whose other requests (POST, ...) are copied too, bodies up to 8 KiB included.',
      ),
  })
  .optional();

const answers = z.object({
  '2xx': z.int(),
  '3xx': z.int(),
  '4xx': z.int(),
  '5xx': z.int(),
  /** Not answered, or not in time. */
  none: z.int(),
});
const latency = z.object({
  /** ms; null: too few answers to say. */
  p50: z.number().nullable(),
  p95: z.number().nullable(),
  p99: z.number().nullable(),
});

/** What came of shadowing a release. Additive only. */
export const shadowReport = z.object({
  release: z.string(),
  /** Of live requests, 0 to 1. */
  share: z.number(),
  ms: z.number(),
  /** Live requests that were copied and whose two answers were compared. */
  copied: z.int(),
  /** Not copied, or given up, because the agent or the release was busy. */
  dropped: z.int(),
  /** Not copied: too long, or their body had not come with their head. */
  unfit: z.int(),
  /** How both answered what was copied; `none`: not at all, or not in time. */
  live: answers,
  candidate: answers,
  /** Answered by live, but by the candidate with 5xx or not at all. */
  failed: z.int(),
  /** Until the first byte of the answer. Live by way of HAProxy, the candidate without. */
  latency: z.object({ live: latency, candidate: latency }),
});
export type ShadowReport = z.infer<typeof shadowReport>;
