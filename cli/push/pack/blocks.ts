/** What is compressed at once, bytes: a call for each small file would take longer than the work. */
export const BLOCK = 4 * 1024 * 1024;
/** Full blocks that wait at the most. */
const WAITING = 6;

/**
 * Gathers small pieces in blocks, for one reader. A block is good until the next one is asked for: it
 * is filled again then, as new ones would have to be made by the system and cleared away.
 */
export class Blocks implements AsyncIterable<Buffer> {
  readonly #full: Buffer[] = [];
  readonly #free: Buffer[] = [];
  #filling: Buffer = Buffer.allocUnsafeSlow(BLOCK);
  #filled = 0;
  #ended = false;
  #failure: { readonly cause: unknown } | null = null;
  /** The reader has gone. */
  #closed = false;
  #moved = Promise.withResolvers<void>();

  /** Whether as much can be added without waiting for the reader. */
  hasRoom(bytes: number): boolean {
    return (WAITING - this.#full.length) * BLOCK - this.#filled > bytes;
  }

  /** Copies it; waits while too much waits for the reader. Once that has gone, it goes nowhere. */
  async add(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const copied = piece.copy(this.#filling, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < BLOCK) continue;
      this.#filled = 0;
      if (this.#closed) continue;
      this.#full.push(this.#filling);
      this.#filling = this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK);
      this.#move();
      while (this.#full.length >= WAITING && !this.#closed) await this.#moved.promise;
    }
  }

  /** Nothing more will be added. */
  end(): void {
    if (this.#filled > 0) this.#full.push(this.#filling.subarray(0, this.#filled));
    this.#ended = true;
    this.#move();
  }

  /** The reader gets the cause, after what has been added. */
  fail(cause: unknown): void {
    this.#failure = { cause };
    this.#move();
  }

  /** Nobody will read it, or go on reading. */
  close(): void {
    this.#closed = true;
    this.#full.length = 0;
    this.#free.length = 0;
    this.#move();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void> {
    try {
      for (;;) {
        const block = this.#full.shift();
        if (block !== undefined) {
          this.#move();
          yield block;
          this.#free.push(block);
        } else if (this.#failure !== null) {
          throw this.#failure.cause;
        } else if (this.#ended || this.#closed) {
          return;
        } else {
          await this.#moved.promise;
        }
      }
    } finally {
      this.close();
    }
  }

  #move(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
  }
}
