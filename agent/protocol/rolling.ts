import { z } from 'zod';
import { formatDuration } from './duration.ts';
import { duration } from './duration-field.ts';
import { type Hold, holdOf } from './hold.ts';

/** How a release comes instance by instance: `rolling` of `strategy`. */

const AMOUNT = 'expected a whole number, or a share of the instances such as "25%"';

/** So many instances, or a share of them in percent. */
export type Amount = { readonly count: number } | { readonly percent: number };

const amount = z.union([
  z
    .int(AMOUNT)
    .min(0, AMOUNT)
    .max(1_000, AMOUNT)
    .transform((count): Amount => ({ count })),
  z
    .string()
    .regex(/^\d{1,3}%$/, AMOUNT)
    .transform((text): Amount => ({ percent: Number.parseInt(text, 10) })),
]);

/** As it was meant. */
export interface WrittenRolling {
  readonly type: 'rolling';
  readonly surge: Amount;
  readonly unavailable: Amount;
  /** How long each batch is watched, ms. */
  readonly hold: number;
}

/** What `rolling` alone means: one instance more than usual, and never one fewer. */
export const USUAL_ROLLING: WrittenRolling = {
  type: 'rolling',
  surge: { count: 1 },
  unavailable: { count: 0 },
  hold: 10_000,
};

/** The long form: `{ max_surge: 1, max_unavailable: 0, hold: 10s }`. */
export const rolling = z
  .strictObject({
    max_surge: amount
      .optional()
      .describe('How many web instances more than usual may run at a time. Default: 1.'),
    max_unavailable: amount
      .optional()
      .describe('How many fewer than usual may take requests meanwhile. Default: 0.'),
    hold: duration().optional().describe('How long each batch is watched. Default: 10s.'),
  })
  .transform(
    ({ max_surge, max_unavailable, hold }): WrittenRolling => ({
      type: 'rolling',
      surge: max_surge ?? USUAL_ROLLING.surge,
      unavailable: max_unavailable ?? USUAL_ROLLING.unavailable,
      hold: hold ?? USUAL_ROLLING.hold,
    }),
  );

/**
 * The bounds in instances. A share is rounded down where instances may be missing, and up where there
 * may be more of them: so something can begin.
 */
export function boundsFor(
  { surge, unavailable }: WrittenRolling,
  instances: number,
): { readonly surge: number; readonly unavailable: number } {
  const of = (given: Amount, round: (value: number) => number): number =>
    'count' in given ? given.count : round((given.percent / 100) * instances);
  // One always serves.
  const most = instances - 1;
  return { surge: of(surge, Math.ceil), unavailable: Math.min(most, of(unavailable, Math.floor)) };
}

/** Why that many instances cannot be rolled so; null: they can. */
export function rollingProblem(written: WrittenRolling, instances: number): string | null {
  const { surge, unavailable } = boundsFor(written, instances);
  if (surge + unavailable > 0) return null;
  const bounds = `max_surge ${amountText(written.surge)} and max_unavailable ${amountText(written.unavailable)}`;
  const which = instances === 1 ? 'the only web instance' : `one of ${instances} web instances`;
  return `${bounds} leave no room to replace ${which}: set max_surge: 1`;
}

/** What of a `zdd.yaml` says whether it can be rolled. */
export interface Rolled {
  readonly hold?: Hold | undefined;
  readonly shadow?: unknown;
  readonly processes: Readonly<
    Record<string, { readonly overlap: boolean; readonly instances: number }>
  >;
}

/** Why this app cannot come instance by instance; null: it can, or has no instances to roll. */
export function rollingRefusal(written: WrittenRolling, config: Rolled): string | null {
  const { web } = config.processes;
  if (web === undefined) return null;
  if (holdOf(config) !== null) {
    return 'rolling needs instances of both releases side by side: web has overlap: false';
  }
  if (config.shadow !== undefined) {
    return 'shadow traffic needs the whole new release before it has users, and rolling brings it instance by instance: use blue-green or canary';
  }
  return rollingProblem(written, web.instances);
}

/** `instance by instance, at most 1 more and 0 fewer, each batch watched for 10.0s` */
export function rollingText(written: WrittenRolling): string {
  const { surge, unavailable, hold } = written;
  return `instance by instance, at most ${amountText(surge)} more and ${amountText(unavailable)} fewer, each batch watched for ${formatDuration(hold)}`;
}

function amountText(given: Amount): string {
  return 'count' in given ? String(given.count) : `${given.percent}%`;
}
