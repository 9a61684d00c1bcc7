import { z } from 'zod';
import { duration } from './duration-field.ts';

const YEAR_MS = 365 * 86_400_000;

const strict = z
  .strictObject({
    max_age: duration().default(YEAR_MS).describe('How long browsers remember it.'),
    subdomains: z.boolean().default(false).describe('Of all hosts below this one too.'),
    preload: z.boolean().default(false).describe("May be built into browsers' own lists."),
  })
  .refine(
    ({ max_age, subdomains, preload }) => !preload || (subdomains && max_age >= YEAR_MS),
    'preload needs subdomains: true and a max_age of at least 365d',
  );

/** Browsers that came by https once never come by http again. */
const hsts = z
  .union([
    duration().transform((max_age) => ({ max_age, subdomains: false, preload: false })),
    strict,
  ])
  .transform(({ max_age, subdomains, preload }) => ({
    maxAgeS: Math.round(max_age / 1_000),
    subdomains,
    preload,
  }))
  .optional()
  .describe(
    'Strict-Transport-Security: browsers come by https only, for this long. Hard to take back.',
  );

/** How an app is reached by https. */
export const tls = z
  .union([
    z.literal('acme').transform(() => ({ acme: true, hsts: undefined })),
    z.strictObject({
      acme: z
        .boolean()
        .default(false)
        .describe('Certificates for its hosts are issued and renewed by an ACME server.'),
      hsts,
    }),
  ])
  .prefault({});
