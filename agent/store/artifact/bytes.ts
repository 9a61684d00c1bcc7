import { setImmediate } from 'node:timers/promises';
import { corrupt } from './errors.ts';

const YIELD_BYTES = 4 * 1024 * 1024;

/** Bytes as they are asked for, out of chunks as they come. */
export class ByteReader {
  /** Bytes handed out so far. */
  position = 0;
  readonly #chunks: AsyncGenerator<Buffer, void, undefined>;
  #rest: Buffer = Buffer.alloc(0);
  #sinceYield = 0;

  constructor(chunks: AsyncGenerator<Buffer, void, undefined>) {
    this.#chunks = chunks;
  }

  /** Whatever comes next; null at the end. */
  async any(): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return null;
      this.#rest = next.value;
      this.#sinceYield += next.value.length;
      if (this.#sinceYield > YIELD_BYTES) {
        // Highly packed data would otherwise keep the event loop, and with it the probes, waiting.
        this.#sinceYield = 0;
        await setImmediate();
      }
    }
    const chunk = this.#rest;
    this.#rest = Buffer.alloc(0);
    this.position += chunk.length;
    return chunk;
  }

  /** Between 1 and `length` bytes. */
  async upTo(length: number, where: string): Promise<Buffer> {
    const chunk = await this.any();
    if (chunk === null) throw corrupt(`it ends ${where}`);
    if (chunk.length <= length) return chunk;
    this.#rest = chunk.subarray(length);
    this.position -= this.#rest.length;
    return chunk.subarray(0, length);
  }

  async exactly(length: number, where: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0; ) {
      const part = await this.upTo(missing, where);
      missing -= part.length;
      parts.push(part);
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) left -= (await this.upTo(left, 'in an entry')).length;
  }

  async close(): Promise<void> {
    await this.#chunks.return();
  }
}
