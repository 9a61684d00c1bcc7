import { z } from 'zod';
import type { Route } from './routes.ts';

/** More rounds make one wrong password a burden on every app of the host: HAProxy hashes each request's. */
const MAX_ROUNDS = 20_000;

const addresses = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** An address or a network. */
export const address = z
  .string()
  .refine(
    (text) => addresses.safeParse(text).success,
    'expected an address or network such as "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"',
  );

const user = z
  .string()
  .regex(
    /^[A-Za-z0-9._@-]{1,64}:\$(5\$(rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}|6\$(rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86})$/,
    'expected "name:hash", the hash as `openssl passwd -6` prints it; never the password itself',
  )
  .refine(
    (text) => Number(/rounds=(\d+)/.exec(text)?.[1] ?? 0) <= MAX_ROUNDS,
    `expected a hash of at most ${MAX_ROUNDS} rounds`,
  );

/** Who may use an app. */
export const access = z
  .strictObject({
    allow: z
      .array(address)
      .default([])
      .describe('Only clients from here; everybody else is answered 403.'),
    basic_auth: z
      .array(user)
      .superRefine((users, context) => {
        const names = users.map((each) => each.split(':')[0]);
        for (const [index, name] of names.entries()) {
          if (names.indexOf(name) === index) continue;
          context.addIssue({ code: 'custom', path: [index], message: 'this user is listed twice' });
        }
      })
      .default([])
      .describe('Users and hashed passwords, "name:hash"; everybody else is answered 401.'),
  })
  .prefault({});

/** Where clients are sent that ask in another way than they should. */
export const redirect = z
  .strictObject({
    https: z.boolean().default(false).describe('From http to https.'),
    canonical: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'expected a host such as "shop.example.com"')
      .optional()
      .describe('From every other host of the app to this one.'),
  })
  .prefault({});

export type Access = z.output<typeof access>;
export type Redirect = z.output<typeof redirect>;

/** Whether a host leads to one of these routes: a redirect to another would end with somebody else. */
export function leadsTo(host: string, routes: readonly Route[]): boolean {
  return routes.some(
    (route) =>
      route.host === host ||
      route.host === '*' ||
      (route.host.startsWith('*.') && host.endsWith(route.host.slice(1))),
  );
}
