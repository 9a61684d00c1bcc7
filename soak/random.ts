/** Numbers that look random and are the same again for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, but not, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** @throws Error for an empty list */
  oneOf<T>(list: readonly T[]): T {
    const one = list[Math.floor(this.next() * list.length)];
    if (one === undefined) throw new Error('nothing to choose from');
    return one;
  }

  /**
   * One after the other without end, each as often as its number says, in a new order every time
   * round: what is rare comes in a short run too.
   */
  *rounds<T extends { readonly often: number }>(list: readonly T[]): Generator<T, never> {
    for (;;) {
      const left = list.flatMap((one) => Array.from({ length: one.often }, () => one));
      while (left.length > 0) yield* left.splice(Math.floor(this.next() * left.length), 1);
    }
  }
}
