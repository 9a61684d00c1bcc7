import { z } from 'zod';

/** How users keep to the instance that answered them. */
export interface Sticky {
  /** When the users of a replaced release move: at their next request, or when it stops draining. */
  readonly until: 'switch' | 'drain';
}

/** The key `sticky` of `zdd.yaml`. */
export const sticky = z
  .union([
    z.literal('cookie').transform((): Sticky => ({ until: 'switch' })),
    z.strictObject({
      until: z
        .enum(['switch', 'drain'])
        .default('switch')
        .describe(
          'switch: users of the old release move at their next request. drain: they may stay on it for drain.websockets.',
        ),
    }),
  ])
  .optional();
