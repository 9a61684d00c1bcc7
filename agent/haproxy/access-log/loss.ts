/**
 * Finds out which share of the lines did not come, by HAProxy's own count of requests: every request
 * that entered a backend is in flight, or has left a line.
 */

/** One look at HAProxy's counters of an app. */
export interface Count {
  readonly at: number;
  /** The worker that counts, from 0 at its start. */
  readonly worker: number;
  /** Requests that entered the backend. */
  readonly requests: number;
  /** Of these, those that have not ended. */
  readonly inFlight: number;
  /** Lines of that worker about that backend that came. */
  readonly lines: number;
}

/** Lines on their way are not lost: a shortage counts when it lasts for this long, ms. */
const ON_THE_WAY_MS = 1_000;
/** Looks kept: one a second for an hour. */
const EVERY_MS = 1_000;
const KEPT_MS = 60 * 60_000;

interface Mark {
  readonly at: number;
  readonly requests: number;
  readonly lost: number;
}

/** The account of one app. */
export class LossAccount {
  #base: Count | null = null;
  /** From workers before. */
  #requestsBefore = 0;
  #lostBefore = 0;
  #recent: { at: number; missing: number }[] = [];
  #marks: Mark[] = [];

  look(count: Count): void {
    const { at, worker } = count;
    if (this.#base === null || this.#base.worker !== worker) {
      const last = this.#marks.at(-1);
      this.#requestsBefore = last?.requests ?? 0;
      this.#lostBefore = last?.lost ?? 0;
      this.#base = count;
      this.#recent = [];
    }
    let missing = missingOf(count) - missingOf(this.#base);
    if (missing < 0) {
      // Lines that were on their way at the first look, or are older than it.
      this.#base = { ...this.#base, lines: this.#base.lines - missing };
      for (const look of this.#recent) look.missing -= missing;
      missing = 0;
    }
    this.#recent.push({ at, missing });
    // One look older than the span stays: only what was missing then already is lost.
    while ((this.#recent[1]?.at ?? at) <= at - ON_THE_WAY_MS) this.#recent.shift();
    const lasting = (this.#recent[0]?.at ?? at) <= at - ON_THE_WAY_MS;
    const lost = lasting ? Math.min(...this.#recent.map((look) => look.missing)) : 0;
    const last = this.#marks.at(-1);
    const mark = {
      at,
      requests: this.#requestsBefore + count.requests - this.#base.requests,
      lost: Math.max(last?.lost ?? 0, this.#lostBefore + lost),
    };
    const beforeLast = this.#marks.at(-2);
    // The newest is replaced until it is a second away from the one before.
    if (beforeLast !== undefined && at - beforeLast.at < EVERY_MS) this.#marks.pop();
    this.#marks.push(mark);
    while ((this.#marks[0]?.at ?? at) < at - KEPT_MS) this.#marks.shift();
  }

  /** Requests whose lines are missing, of all workers there were. */
  get lost(): number {
    return this.#marks.at(-1)?.lost ?? 0;
  }

  /** The share of requests since then whose lines are missing, 0 to 1; null before two looks. */
  lostSince(since: number): number | null {
    const last = this.#marks.at(-1);
    const first = this.#marks.findLast(({ at }) => at <= since) ?? this.#marks[0];
    if (last === undefined || first === undefined || first === last) return null;
    const requests = last.requests - first.requests;
    return requests <= 0 ? 0 : Math.min(1, (last.lost - first.lost) / requests);
  }
}

function missingOf({ requests, inFlight, lines }: Count): number {
  return requests - inFlight - lines;
}
