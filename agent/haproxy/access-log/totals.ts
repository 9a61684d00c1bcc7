import { backendOf } from '../config/names.ts';
import type { Meaning } from './meaning.ts';

/** Upper ends of the buckets that waits are counted in, ms; what is above is in the last one. */
export const WAIT_BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const;
/** More than the releases that run on a host of hundreds of apps. */
const MOST = 2_000;

/**
 * What a release did since the agent began, over all its servers: numbers that only grow. Above the
 * rate at which every line is read they are estimates, each line read standing for several.
 */
export interface ReleaseTotals {
  readonly answered: number;
  readonly failed: number;
  readonly aborted: number;
  readonly websockets: number;
  /** Waits of the answered added up, ms. */
  readonly waitMs: number;
  /** How many of the answered waited so long: one for each of `WAIT_BUCKETS_MS`, one for above. */
  readonly waits: readonly number[];
}

/** Counts what the log says of one release. */
export class ReleaseTotal implements ReleaseTotals {
  answered = 0;
  failed = 0;
  aborted = 0;
  websockets = 0;
  waitMs = 0;
  readonly waits: number[] = Array.from({ length: WAIT_BUCKETS_MS.length + 1 }, () => 0);
  /** When something was counted last, ms. */
  last = 0;

  /** @param oneOf how many lines it stands for */
  count(meaning: Meaning, waitMs: number, at: number, oneOf: number): void {
    this.last = Math.max(this.last, at);
    switch (meaning) {
      case 'answered': {
        this.answered += oneOf;
        this.waitMs += Math.max(0, waitMs) * oneOf;
        const index = WAIT_BUCKETS_MS.findIndex((upper) => waitMs <= upper);
        const bucket = index < 0 ? WAIT_BUCKETS_MS.length : index;
        this.waits[bucket] = (this.waits[bucket] ?? 0) + oneOf;
        return;
      }
      case 'failed':
        this.failed += oneOf;
        return;
      case 'aborted':
        this.aborted += oneOf;
        return;
      case 'websocket':
        this.websockets += oneOf;
        return;
      case 'elsewhere':
        return;
    }
  }
}

/** Of a release that the log knows nothing of: its counters begin at 0, not in nowhere. */
const NOTHING: ReleaseTotals = new ReleaseTotal();

/** The totals of all releases, found by app and release. */
export class Totals {
  readonly #totals = new Map<string, ReleaseTotal>();

  /** That of the release which a server belongs to: `r42` of `r42-d57-web-1`. */
  ofServer(backend: string, server: string): ReleaseTotal {
    const key = `${backend} ${numberOf(server)}`;
    const found = this.#totals.get(key) ?? new ReleaseTotal();
    this.#totals.set(key, found);
    return found;
  }

  ofRelease(app: string, release: string): ReleaseTotals {
    return this.#totals.get(`${backendOf(app)} ${numberOf(release)}`) ?? NOTHING;
  }

  /** Lets go of what was not counted for since then, when there is too much of it. */
  forget(before: number): void {
    if (this.#totals.size <= MOST) return;
    for (const [key, { last }] of this.#totals) if (last < before) this.#totals.delete(key);
  }
}

function numberOf(name: string): string {
  return name.split('-', 1)[0] ?? name;
}
