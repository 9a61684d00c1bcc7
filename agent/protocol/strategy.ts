import { z } from 'zod';
import { address } from './access.ts';
import { steps, stepsRefusal, type WrittenStep, word } from './canary-steps.ts';
import { holdOf } from './hold.ts';
import {
  type Rolled,
  rolling,
  rollingRefusal,
  USUAL_ROLLING,
  type WrittenRolling,
} from './rolling.ts';

/** How a release comes to have all traffic: `strategy` and `tier` of a `zdd.yaml`. */

/** How traffic moves, as it was meant. */
export type WrittenStrategy =
  | { readonly type: 'blue-green' }
  | { readonly type: 'canary'; readonly steps: readonly WrittenStep[] }
  | WrittenRolling;

/** What `canary` alone means. */
const USUAL_STEPS: readonly WrittenStep[] = [
  { do: 'weight', percent: 5 },
  { do: 'hold', ms: 120_000 },
  { do: 'weight', percent: 25 },
  { do: 'hold', ms: 120_000 },
  { do: 'weight', percent: 50 },
  { do: 'hold', ms: 120_000 },
];

const EXPECTED = 'expected blue-green, rolling, canary or a list of steps';
const TYPES = ['blue-green', 'rolling', 'canary'] as const;

/** `strategy` of a `zdd.yaml`, and of `push --strategy`. */
export const strategy = z
  .union([
    word(TYPES, EXPECTED).transform((type) => ({ type, steps: undefined })),
    steps.transform((list) => ({ type: 'canary' as const, steps: list })),
    z.strictObject({
      type: word(TYPES, EXPECTED),
      steps: steps.optional().describe('Of a canary. Default: 5 %, 25 % and 50 %, 2 minutes each.'),
    }),
    z.strictObject({ rolling: rolling.describe('Instance by instance.') }),
  ])
  .transform((written): WrittenStrategy => {
    if ('rolling' in written) return written.rolling;
    switch (written.type) {
      case 'blue-green':
        return { type: 'blue-green' };
      case 'rolling':
        return USUAL_ROLLING;
      case 'canary':
        return { type: 'canary', steps: written.steps ?? USUAL_STEPS };
    }
  });

/** Why this app cannot come so; null: it can. */
export function strategyRefusal(written: WrittenStrategy, config: Rolled): string | null {
  switch (written.type) {
    case 'blue-green':
      return null;
    case 'rolling':
      return rollingRefusal(written, config);
    case 'canary':
      return holdOf(config) === null
        ? stepsRefusal(written.steps, config)
        : 'a canary needs both releases side by side: web has overlap: false';
  }
}

/** What a service is to its users: how careful a deploy of it is, unless `strategy` and `bake` say. */
export const TIERS = ['critical', 'standard', 'internal'] as const;
export const tier = z.enum(TIERS);
export type Tier = z.infer<typeof tier>;

/** What a tier means. Without `warmMs` the old release stays warm as long as usual. */
export const PRESETS: Readonly<
  Record<Tier, { strategy: WrittenStrategy; bakeMs: number; warmMs?: number }>
> = {
  critical: {
    strategy: {
      type: 'canary',
      steps: [
        { do: 'weight', percent: 1 },
        { do: 'hold', ms: 120_000 },
        { do: 'weight', percent: 5 },
        { do: 'analyse', within: 1_800_000 },
        { do: 'weight', percent: 25 },
        { do: 'hold', ms: 300_000 },
        { do: 'analyse', within: 600_000 },
        { do: 'weight', percent: 50 },
        { do: 'hold', ms: 300_000 },
      ],
    },
    bakeMs: 600_000,
  },
  standard: {
    strategy: {
      type: 'canary',
      steps: [
        { do: 'weight', percent: 10 },
        { do: 'hold', ms: 60_000 },
        { do: 'weight', percent: 50 },
        { do: 'hold', ms: 60_000 },
      ],
    },
    bakeMs: 120_000,
  },
  // The old release goes as soon as the new one has proven itself: a small host has its memory back.
  internal: { strategy: { type: 'blue-green' }, bakeMs: 10_000, warmMs: 0 },
};

/** Who sees the candidate before anybody else: `preview` of a `zdd.yaml`. */
const named = (what: string, pattern: RegExp) =>
  z
    .string()
    .regex(pattern, `expected ${what}, or ${what} and value: "name: value"`)
    .transform((text) => {
      const at = text.search(/[:=]/);
      return at < 0
        ? { name: text, value: null }
        : { name: text.slice(0, at), value: text.slice(at + 1).trim() };
    });

/** The words of HAProxy's own configuration never come from here: quotes and `%` stay outside. */
const VALUE = '[A-Za-z0-9_.~+/@-]{1,200}';

export const preview = z
  .strictObject({
    header: named('the name of a header', new RegExp(`^[A-Za-z][A-Za-z0-9-]{0,60}(: ?${VALUE})?$`))
      .optional()
      .describe('Requests with this header: "X-Preview" or "X-Preview: let-me-see".'),
    cookie: named('the name of a cookie', new RegExp(`^[A-Za-z][A-Za-z0-9_-]{0,60}(=${VALUE})?$`))
      .optional()
      .describe('Requests with this cookie: "preview" or "preview=let-me-see".'),
    ips: z.array(address).default([]).describe('Requests from these addresses and networks.'),
  })
  .refine(({ header, cookie, ips }) => header ?? cookie ?? ips[0] !== undefined, {
    message: 'expected header, cookie or ips',
  });
