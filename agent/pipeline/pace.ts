/** What a late look may make up for, s: a pace, not a debt. */
const MAX_LATE_S = 0.25;
/** Whoever comes back after this long has nothing saved up, ms. */
const FORGOTTEN_MS = 1_000;

/**
 * The pace at which connections of one app are closed: its clients come back to the same new release
 * from whichever old one they were on, so all that drain share it.
 */
export class Pace {
  #credit = 0;
  #at = 0;

  /**
   * Takes what may be closed now, at most `wanted`.
   * @param now ms, of a clock that goes on evenly
   */
  take(perSecond: number, wanted: number, now: number): number {
    const idleMs = now - this.#at;
    this.#at = now;
    if (idleMs > FORGOTTEN_MS) this.#credit = 0;
    else {
      // And the part of one that is on its way, or a slow pace would lose it at each look.
      const most = 1 + perSecond * MAX_LATE_S;
      this.#credit = Math.min(most, this.#credit + (idleMs / 1_000) * perSecond);
    }
    const taken = Math.min(wanted, Math.floor(this.#credit));
    this.#credit -= taken;
    return taken;
  }

  /** Gives back what was taken for connections that had ended by themselves. */
  giveBack(count: number): void {
    this.#credit += count;
  }
}

/** The same things in random order. */
export function shuffled<T>(things: readonly T[]): T[] {
  return things
    .map((thing) => ({ thing, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ thing }) => thing);
}
