import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ZddError } from '../../agent/protocol/errors.ts';

const PIECE = 256 * 1024;

/**
 * What is packed, in a temporary file of its own: it is sent while it grows, and any part of it can
 * be sent again after a cut. Memory does not grow with it.
 */
export class Spool {
  readonly path: string;
  readonly #folder: string;
  readonly #file: FileHandle;
  #bytes = 0;
  #growing = false;
  #failure: { readonly cause: unknown } | null = null;
  #grown = Promise.withResolvers<void>();

  private constructor(folder: string, path: string, file: FileHandle) {
    this.#folder = folder;
    this.path = path;
    this.#file = file;
  }

  /** @param name of the file @throws ZDD_DISK_FULL (here) */
  static async open(name: string): Promise<Spool> {
    try {
      const folder = await mkdtemp(join(tmpdir(), 'zdd-push-'));
      const path = join(folder, name);
      return new Spool(folder, path, await open(path, 'wx+', 0o600));
    } catch (cause) {
      throw fullHere(cause);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds all that comes; whoever reads meanwhile waits for it, and gets what goes wrong.
   * @throws ZDD_DISK_FULL (here), what `chunks` throws, the reason of `signal`
   */
  async fill(chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    this.#growing = true;
    try {
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        await this.#add(chunk);
      }
    } catch (cause) {
      const told = signal.aborted ? signal.reason : fullHere(cause);
      this.#failure = { cause: told };
      throw told;
    } finally {
      this.#growing = false;
      this.#wake();
    }
  }

  /** What is there from `offset` on; while it is filled, what is still to come as well. */
  from(offset: number): Readable {
    return Readable.from(this.#read(offset), { objectMode: false });
  }

  /** May be repeated. */
  async remove(): Promise<void> {
    await this.#file.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #add(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#file.write(
        chunk,
        at,
        chunk.length - at,
        this.#bytes + at,
      );
      at += bytesWritten;
    }
    this.#bytes += chunk.length;
    this.#wake();
  }

  async *#read(offset: number): AsyncGenerator<Buffer> {
    for (let at = offset; ; ) {
      if (this.#failure !== null) throw this.#failure.cause;
      if (at < this.#bytes) {
        const length = Math.min(PIECE, this.#bytes - at);
        const { buffer, bytesRead } = await this.#file.read(
          Buffer.allocUnsafe(length),
          0,
          length,
          at,
        );
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      } else if (this.#growing) {
        await this.#grown.promise;
      } else {
        return;
      }
    }
  }

  #wake(): void {
    this.#grown.resolve();
    this.#grown = Promise.withResolvers();
  }
}

function fullHere(cause: unknown): unknown {
  if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC')) return cause;
  return new ZddError('ZDD_DISK_FULL', `no space left for packing in ${tmpdir()}`, {
    traffic: 'untouched: nothing was started',
    tries: [`df -h ${tmpdir()}`, 'TMPDIR=/path/with/space zdd-agent push'],
    cause,
  });
}
