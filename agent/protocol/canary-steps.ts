import { z } from 'zod';
import { formatDuration, parseDuration } from './duration.ts';
import { duration } from './duration-field.ts';
import { percentText, shadowShare, shadowTime } from './shadow.ts';

/** The steps of a canary: `strategy` of a `zdd.yaml`, where it is a list. */

const ANALYSE_WITHIN_MS = 600_000;
const PERCENT = 'expected a share of the users such as "5%"';

const percent = z
  .string()
  .regex(/^\d{1,3}(\.\d{1,2})?%$/, PERCENT)
  .transform((text) => Number.parseFloat(text))
  .refine((share) => share <= 100, 'expected at most 100%');

/** One of a few words. Another type than text is another form's to refuse: see zdd-yaml-problems.ts. */
export const word = <const T extends string>(words: readonly T[], expected: string) =>
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
    word(
      ['analyse', 'smoke', 'shadow'],
      'expected weight, hold, analyse, smoke, shadow, gate or ramp',
    ),
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
        shadow: z
          .strictObject({ share: shadowShare.optional(), for: shadowTime.optional() })
          .optional()
          .describe('Copies live requests to the new release; what is not said is as in `shadow`.'),
      })
      .refine((keys) => Object.values(keys).filter((value) => value !== undefined).length === 1, {
        message: 'expected one of weight, hold, analyse, shadow, gate or ramp',
      }),
  ])
  .transform((written) => {
    if (written === 'shadow') return { do: 'shadow' as const };
    if (written === 'smoke') return { do: 'smoke' as const };
    if (written === 'analyse') return { do: 'analyse' as const, within: ANALYSE_WITHIN_MS };
    const { weight, hold, analyse, gate, ramp: slope, shadow } = written;
    if (weight !== undefined) return { do: 'weight' as const, percent: weight };
    if (hold !== undefined) return { do: 'hold' as const, ms: hold };
    if (analyse !== undefined) return { do: 'analyse' as const, within: analyse.within };
    if (slope !== undefined) return { do: 'ramp' as const, ...slope };
    if (shadow !== undefined) return { do: 'shadow' as const, ...shadow };
    return gate === undefined || gate === 'manual' ? { do: 'approval' as const } : gate;
  });

/** Whether some users are on the new release after this step. */
function movesUsers(written: WrittenStep): boolean {
  return (written.do === 'weight' && written.percent > 0) || written.do === 'ramp';
}

export const steps = z
  .array(step)
  .min(1, 'expected at least one step')
  .max(100)
  .superRefine((list, context) => {
    const first = list.findIndex(movesUsers);
    for (const [index, written] of list.entries()) {
      if (written.do !== 'shadow' || first < 0 || index < first) continue;
      context.addIssue({
        code: 'custom',
        path: [index],
        message:
          'shadow comes before the first weight or ramp: copies are for a release without users',
      });
    }
  });
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
    case 'shadow':
      return [
        'shadow',
        ...(step.share === undefined ? [] : [percentText(step.share)]),
        ...(step.for === undefined ? [] : [`for ${formatDuration(step.for)}`]),
      ].join(' ');
    case 'approval':
      return 'gate: manual';
    case 'webhook':
      return `gate: ${new URL(step.url).host}`;
  }
}

/** Why this app cannot have such steps; null: it can. */
export function stepsRefusal(
  list: readonly WrittenStep[],
  { shadow }: { readonly shadow?: unknown },
): string | null {
  if (shadow !== undefined || !hasShadowStep(list)) return null;
  return 'the step shadow needs the key shadow of zdd.yaml, which says what is copied: shadow: { share: 10% }';
}

/** Whether the steps say when requests are copied: then nothing is copied before them. */
export function hasShadowStep(list: readonly WrittenStep[]): boolean {
  return list.some((written) => written.do === 'shadow');
}
