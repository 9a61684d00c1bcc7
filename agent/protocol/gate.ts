import { z } from 'zod';

const owner = z.string().max(200).default('unknown');
const message = z.string().max(500).default('');
/** How long it lasts, ms; without it until somebody ends it. */
const forMs = z
  .int()
  .min(1_000)
  .max(366 * 86_400_000)
  .optional();

/**
 * The longest maintenance page, bytes. HAProxy answers from a buffer of `tune.bufsize` (16384 unless
 * the admin says otherwise), of which it keeps 1024 free; the rest is for headers.
 */
export const MAX_PAGE_BYTES = 12 * 1024;

/** `POST /v1/apps/:app/lock` */
export const lockRequest = z.strictObject({ owner, message, forMs });
export type LockRequest = z.input<typeof lockRequest>;

/** `POST /v1/apps/:app/unlock` */
export const unlockRequest = z.strictObject({ owner });

/** `POST /v1/apps/:app/maintenance` */
export const maintenanceRequest = z.discriminatedUnion('on', [
  z.strictObject({
    on: z.literal(true),
    owner,
    /** Why, for the team: visitors see the page. */
    message,
    forMs,
    /** HTML for the visitors. */
    page: z
      .string()
      .refine((page) => new TextEncoder().encode(page).length <= MAX_PAGE_BYTES, {
        message: `expected at most ${MAX_PAGE_BYTES} bytes`,
      })
      .refine((page) => !page.includes('\0'), 'expected text without NUL bytes')
      .optional(),
    /** Networks that reach the app all the same. */
    allow: z
      .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))
      .max(32)
      .default([]),
    retryAfterS: z.int().min(0).max(86_400).default(300),
  }),
  z.strictObject({ on: z.literal(false), owner }),
]);
export type MaintenanceRequest = z.input<typeof maintenanceRequest>;

/** Reply of all of these. Told twice, it says `already_<state>`. */
export const gateReply = z.object({
  app: z.string(),
  result: z.enum([
    'locked',
    'already_locked',
    'unlocked',
    'already_unlocked',
    'on',
    'already_on',
    'off',
    'already_off',
  ]),
  /** HAProxy was reloaded for it: page, networks or Retry-After were new to it. */
  reloaded: z.boolean(),
  /** Given when visitors were let in although no instance answers its health check. */
  answers: z.literal(false).optional(),
});
export type GateReply = z.infer<typeof gateReply>;
