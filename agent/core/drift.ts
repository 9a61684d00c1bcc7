/** Repairs of the same difference without a word; whoever undoes more is not doing it by chance. */
const FREE_REPAIRS = 3;
/** After this long without it a difference is a new one. */
const CALM_MS = 10 * 60_000;
/** The first rest; doubled each time up to the last. */
const FIRST_REST_MS = 60_000;
const LAST_REST_MS = 30 * 60_000;

/** What is known of one kind of difference that was seen before. */
export interface Recurrence {
  readonly repairs: number;
  readonly lastAt: number;
  /** Until then it is left as it is, ms; 0 when it never was. */
  readonly restUntil: number;
  readonly restMs: number;
  /** It was repaired after the last rest, and that did not last. */
  readonly tried: boolean;
}

/** By kind of difference: numbers in it do not count. */
export type Recurrences = ReadonlyMap<string, Recurrence>;

export interface DriftVerdict {
  /** To be repaired now; what is in neither list rests already. */
  readonly repair: readonly string[];
  /** Rest from now on: to be told once. */
  readonly nowResting: readonly string[];
  /** To be remembered once the repair has succeeded. */
  readonly recurrences: Recurrences;
}

/**
 * Which differences are repaired now. One that comes back again and again has somebody behind it,
 * who would be fought over for ever: it is left alone for a while, longer each time, and then tried
 * once more. Pure.
 */
export function judgeDrift(
  before: Recurrences,
  differences: readonly string[],
  now: number,
): DriftVerdict {
  const recurrences = new Map(
    [...before].filter(([, { lastAt, restUntil }]) => Math.max(lastAt, restUntil) + CALM_MS > now),
  );
  const repair: string[] = [];
  const nowResting: string[] = [];
  for (const [kind, some] of Map.groupBy(differences, kindOf)) {
    const known = recurrences.get(kind) ?? NEW;
    if (known.restUntil > now) continue;
    const free = known.repairs < FREE_REPAIRS;
    if (free || !known.tried) {
      const repairs = known.repairs + 1;
      const tried = !free || repairs === FREE_REPAIRS;
      recurrences.set(kind, { ...known, repairs, lastAt: now, tried });
      repair.push(...some);
    } else {
      const restMs = Math.min(LAST_REST_MS, Math.max(FIRST_REST_MS, known.restMs * 2));
      recurrences.set(kind, { ...known, restUntil: now + restMs, restMs, tried: false });
      nowResting.push(...some);
    }
  }
  return { repair, nowResting, recurrences };
}

/** Until when a difference is left alone, ms; null when it is not. */
export function restsUntil(recurrences: Recurrences, what: string, now: number): number | null {
  const until = recurrences.get(kindOf(what))?.restUntil ?? 0;
  return until > now ? until : null;
}

const NEW: Recurrence = { repairs: 0, lastAt: 0, restUntil: 0, restMs: 0, tried: false };

function kindOf(what: string): string {
  return what.replace(/\d+/g, '#');
}
