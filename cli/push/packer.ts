import type { Gzip, ZstdCompress } from 'node:zlib';

/** What is compressed at once, bytes: a call for each small file would take longer than the work. */
export const GATHERED = 512 * 1024;

/**
 * Gathers small pieces in two blocks: one is compressed, on another thread, while the other is filled.
 * The blocks are used again and again: a new one each time would have to be cleared away.
 */
export class Packer {
  readonly #coder: Gzip | ZstdCompress;
  #filling = Buffer.allocUnsafe(GATHERED);
  #other = Buffer.allocUnsafe(GATHERED);
  #filled = 0;
  #coding: Promise<void> = Promise.resolve();

  /** @param coder somebody else reads it */
  constructor(coder: Gzip | ZstdCompress) {
    this.#coder = coder;
  }

  /** Copies it. @throws what goes wrong with the coder */
  async add(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const copied = piece.copy(this.#filling, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === GATHERED) await this.#code();
    }
  }

  /** Resolves when all of it is compressed. */
  async end(): Promise<void> {
    await this.#code();
    await this.#coding;
    this.#coder.end();
  }

  async #code(): Promise<void> {
    await this.#coding;
    const block = this.#filling.subarray(0, this.#filled);
    [this.#filling, this.#other] = [this.#other, this.#filling];
    this.#filled = 0;
    this.#coding = new Promise((resolve, reject) => {
      this.#coder.write(block, (error) => (error ? reject(error) : resolve()));
    });
    // Whoever adds or ends next gets it.
    this.#coding.catch(() => undefined);
  }
}
