import { z } from 'zod';
import { address } from './access.ts';
import { duration, formatDuration, parseDuration } from './duration.ts';
import { rolling, USUAL_ROLLING, type WrittenRolling } from './rolling.ts';

/** How a release comes to have all traffic: `strategy` and `tier` of a `zdd.yaml`. */

const ANALYSE_WITHIN_MS = 600_000;
const PERCENT = 'expected a share of the users such as "5%"';

const percent = z
  .string()
  .regex(/^\d{1,3}(\.\d{1,2})?%$/, PERCENT)
  .transform((text) => Number.parseFloat(text))
  .refine((share) => share <= 100, 'expected at most 100%');

/** One of a few words. Another type than text is another form's to refuse: see zdd-yaml-problems.ts. */
const word = <const T extends string>(words: readonly T[], expected: string) =>
  z
    .string()
    .meta({ enum: words })
    .pipe(z.enum(words, { error: expected }));

const RAMP = /^(\d{1,3}(?:\.\d{1,2})?)%\s*\.\.\s*(\d{1,3}(?:\.\d{1,2})?)%\s+over\s+(\S+)$/;

const ramp = z.string().transform((text, context) => {
  const [, from, to, over = ''] = RAMP.exec(text) ?? [];
  const ms = parseDuration(over);
  const shares = [Number(from), Number(to)] as const;
  if (from === undefined || ms === undefined || shares.some((share) => share > 100)) {
    context.addIssue({ code: 'custom', message: 'expected a ramp such as "5%..100% over 10m"' });
    return z.NEVER;
  }
  return { from: shares[0], to: shares[1], ms };
});

const webhook = z
  .strictObject({
    webhook: z
      .url({ protocol: /^https?$/, error: 'expected a URL such as "https://ci.example.com/go"' })
      .describe('Asked with POST every few seconds: 2xx is go.'),
    within: duration().default(3_600_000).describe('After this the canary pauses.'),
  })
  .transform(({ webhook: url, within }) => ({ do: 'webhook' as const, url, within }));

/** One step as it is written: a word, or a map of one key. */
const step = z
  .union([
    word(['analyse', 'smoke', 'shadow'], 'expected weight, hold, analyse, smoke, gate or ramp'),
    z
      .strictObject({
        weight: percent.optional().describe('Share of the users on the new release: "5%".'),
        hold: duration().optional().describe('Stay like this, watched by the gates.'),
        analyse: z
          .strictObject({
            within: duration()
              .default(ANALYSE_WITHIN_MS)
              .describe('Undecided after this: gates.on.inconclusive.'),
          })
          .optional()
          .describe('Until the sequential test has decided.'),
        gate: z
          .union([word(['manual'], 'expected manual, or a map with webhook'), webhook])
          .optional()
          .describe('Until somebody says `zdd-agent promote`, or a URL answers 2xx.'),
        ramp: ramp.optional().describe('From one share to another: "5%..100% over 10m".'),
      })
      .refine((keys) => Object.values(keys).filter((value) => value !== undefined).length === 1, {
        message: 'expected one of weight, hold, analyse, gate or ramp',
      }),
  ])
  .transform((written, context) => {
    if (written === 'shadow') {
      context.addIssue({
        code: 'custom',
        message:
          'shadow traffic comes before the first step: use the key shadow of zdd.yaml instead',
      });
      return z.NEVER;
    }
    if (written === 'smoke') return { do: 'smoke' as const };
    if (written === 'analyse') return { do: 'analyse' as const, within: ANALYSE_WITHIN_MS };
    const { weight, hold, analyse, gate, ramp: slope } = written;
    if (weight !== undefined) return { do: 'weight' as const, percent: weight };
    if (hold !== undefined) return { do: 'hold' as const, ms: hold };
    if (analyse !== undefined) return { do: 'analyse' as const, within: analyse.within };
    if (slope !== undefined) return { do: 'ramp' as const, ...slope };
    return gate === undefined || gate === 'manual' ? { do: 'approval' as const } : gate;
  });

const steps = z.array(step).min(1, 'expected at least one step').max(100);
/** One step of a canary, as it was meant. */
export type WrittenStep = z.output<typeof step>;

/** One step in a few words: `5 %`, `hold 2m00s`. */
export function stepText(step: WrittenStep): string {
  switch (step.do) {
    case 'weight':
      return `${step.percent} %`;
    case 'hold':
      return `hold ${formatDuration(step.ms)}`;
    case 'ramp':
      return `${step.from} % to ${step.to} % over ${formatDuration(step.ms)}`;
    case 'analyse':
    case 'smoke':
      return step.do;
    case 'approval':
      return 'gate: manual';
    case 'webhook':
      return `gate: ${new URL(step.url).host}`;
  }
}

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
