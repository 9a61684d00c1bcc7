import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ZddError } from '../../../agent/protocol/errors.ts';

/** What is read at once, bytes: that one has gone is a sign of life, also on a slow line. */
export const PIECE = 256 * 1024;
/** How long a reader waits for more, ms: a request that stands still for a minute is given up. */
const QUIET_MS = 10_000;
/** What a spool keeps in memory before it goes on in its file, bytes: most releases fit. */
export const IN_MEMORY = 96 * 1024 * 1024;

/**
 * What is packed: it is sent while it grows, and any part of it can be sent again after a cut. Its
 * beginning is in memory; what is beyond, in a temporary file of its own, so that memory does not grow
 * with it.
 */
export class Spool {
  readonly path: string;
  readonly #folder: string;
  readonly #file: FileHandle;
  readonly #inMemory: number;
  readonly #quietMs: number;
  readonly #kept: Kept[] = [];
  /** Bytes in memory: the file begins there. */
  #keptBytes = 0;
  #bytes = 0;
  /** How far it has been read. */
  #readTo = 0;
  #ended = false;
  #failure: { readonly cause: unknown } | null = null;
  #grown = Promise.withResolvers<void>();

  private constructor(folder: string, path: string, file: FileHandle, options: SpoolOptions) {
    this.#folder = folder;
    this.path = path;
    this.#file = file;
    this.#inMemory = options.inMemory;
    this.#quietMs = options.quietMs ?? QUIET_MS;
  }

  /**
   * @param name of the file
   * @throws ZDD_DISK_FULL (here)
   */
  static async open(name: string, options: SpoolOptions): Promise<Spool> {
    try {
      const folder = await mkdtemp(join(tmpdir(), 'zdd-push-'));
      const path = join(folder, name);
      return new Spool(folder, path, await open(path, 'wx+', 0o600), options);
    } catch (cause) {
      throw fullHere(cause);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that nobody has asked for yet. */
  get unread(): number {
    return this.#bytes - this.#readTo;
  }

  /**
   * Adds all that comes, after what came before; whoever reads gets what goes wrong.
   * @throws ZDD_DISK_FULL (here), what `chunks` throws, the reason of `signal`
   */
  async fill(chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
    try {
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        await this.#add(chunk);
      }
    } catch (cause) {
      const told = signal.aborted ? signal.reason : fullHere(cause);
      this.#failure = { cause: told };
      this.#wake();
      throw told;
    }
  }

  /** Nothing more will be added. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Whether there is something from `offset` on, or will be. @throws what goes wrong with filling */
  async hasFrom(offset: number): Promise<boolean> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.cause;
      if (this.#bytes > offset) return true;
      if (this.#ended) return false;
      await this.#grown.promise;
    }
  }

  /**
   * What is there from `offset` on, and what is still to come: until it is ended, or nothing has come
   * for a while.
   */
  from(offset: number): Readable {
    return Readable.from(this.#read(offset), { objectMode: false });
  }

  /** Whoever still reads it has nothing more to wait for. May be repeated. */
  async remove(): Promise<void> {
    this.end();
    await this.#file.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #add(chunk: Buffer): Promise<void> {
    const start = this.#bytes;
    if (start === this.#keptBytes && start + chunk.length <= this.#inMemory) {
      this.#kept.push({ start, chunk });
      this.#keptBytes += chunk.length;
    } else {
      await this.#write(chunk, start - this.#keptBytes);
    }
    this.#bytes += chunk.length;
    this.#wake();
  }

  async #write(chunk: Buffer, position: number): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const left = chunk.length - at;
      at += (await this.#file.write(chunk, at, left, position + at)).bytesWritten;
    }
  }

  async *#read(offset: number): AsyncGenerator<Buffer> {
    for (let at = offset; ; ) {
      if (this.#failure !== null) throw this.#failure.cause;
      if (at < this.#bytes) {
        const piece = this.#keptAt(at) ?? (await this.#written(at));
        at += piece.length;
        this.#readTo = Math.max(this.#readTo, at);
        yield piece;
      } else if (this.#ended) {
        return;
      } else if (!(await this.#growsSoon())) {
        return;
      }
    }
  }

  /** Null beyond what is in memory. */
  #keptAt(at: number): Buffer | null {
    const kept = this.#kept[this.#kept.findLastIndex(({ start }) => start <= at)];
    if (kept === undefined || at >= this.#keptBytes) return null;
    const from = at - kept.start;
    return kept.chunk.subarray(from, from + PIECE);
  }

  async #written(at: number): Promise<Buffer> {
    const length = Math.min(PIECE, this.#bytes - at);
    const piece = Buffer.allocUnsafe(length);
    const { bytesRead } = await this.#file.read(piece, 0, length, at - this.#keptBytes);
    return piece.subarray(0, bytesRead);
  }

  async #growsSoon(): Promise<boolean> {
    const grown = this.#grown.promise.then(() => true);
    const timer = Promise.withResolvers<boolean>();
    const timeout = setTimeout(timer.resolve, this.#quietMs, false);
    try {
      return await Promise.race([grown, timer.promise]);
    } finally {
      clearTimeout(timeout);
    }
  }

  #wake(): void {
    this.#grown.resolve();
    this.#grown = Promise.withResolvers();
  }
}

export interface SpoolOptions {
  /** Bytes that need not be in the file. */
  readonly inMemory: number;
  /** How long a reader waits for more, ms. */
  readonly quietMs?: number;
}

interface Kept {
  readonly start: number;
  readonly chunk: Buffer;
}

function fullHere(cause: unknown): unknown {
  if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC')) return cause;
  return new ZddError('ZDD_DISK_FULL', `no space left for packing in ${tmpdir()}`, {
    traffic: 'untouched: nothing was started',
    tries: [`df -h ${tmpdir()}`, 'TMPDIR=/path/with/space zdd-agent push'],
    cause,
  });
}
