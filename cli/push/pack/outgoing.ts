import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Resendable } from '../../connect/uploads.ts';
import type { Spool } from './spool.ts';

/** What travels of a release: first its outline, if any, then what is packed. Each byte is hashed once. */
export class Outgoing implements Resendable {
  readonly #outline: Buffer;
  readonly #packed: Spool;
  readonly #hash = createHash('sha256');
  /** Bytes of the whole that are in the digest: what is sent again after a cut is in it already. */
  #hashed: number;

  constructor(outline: Buffer, packed: Spool) {
    this.#outline = outline;
    this.#packed = packed;
    this.#hash.update(outline);
    this.#hashed = outline.length;
  }

  get bytes(): number {
    return this.#outline.length + this.#packed.bytes;
  }

  /** Of what has been read, hex. */
  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Whether there is something from `offset` on, or will be. @throws as `Spool.hasFrom` */
  async hasFrom(offset: number): Promise<boolean> {
    return (
      offset < this.#outline.length || (await this.#packed.hasFrom(offset - this.#outline.length))
    );
  }

  from(offset: number): Readable {
    return Readable.from(this.#read(offset), { objectMode: false });
  }

  async *#read(offset: number): AsyncGenerator<Buffer> {
    if (offset < this.#outline.length) yield this.#outline.subarray(offset);
    let at = Math.max(offset, this.#outline.length);
    for await (const chunk of this.#packed.from(at - this.#outline.length)) {
      const fresh = this.#hashed - at;
      if (fresh < chunk.length) {
        this.#hash.update(chunk.subarray(fresh));
        this.#hashed = at + chunk.length;
      }
      at += chunk.length;
      yield chunk;
    }
  }
}
