import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ZddError } from '../../protocol/errors.ts';
import { errnoOf, namesIn } from '../atomic-file.ts';
import { corrupt, diskFullOr, notAnnounced, sizeText, tooLarge } from './errors.ts';
import type { ArtifactStoreOptions, ReceivedArtifact } from './kept.ts';
import { SpaceGuard } from './limits.ts';
import { chunksOf } from './upload.ts';

const NAME = /^upload-([0-9a-f]{32})$/;
const IDLE_MS = 60_000;
/** How long an upload may be left alone before it is removed, ms. */
export const UPLOAD_KEPT_MS = 60 * 60_000;
const MAX_UPLOADS = 32;

/** What uploads need of the store of artifacts. */
export interface Finished {
  /** Gives a whole, durable file its name as an artifact. */
  keep(file: string, digest: string, bytes: number): Promise<ReceivedArtifact>;
  find(digest: string): Promise<ReceivedArtifact | null>;
  /** @throws ZDD_DISK_FULL */
  requireSpace(bytes: number): Promise<void>;
}

/** A request that works on an upload. */
interface Worker {
  stop(): void;
  /** Settles when it has ended, however. */
  readonly done: Promise<unknown>;
}

/**
 * Uploads that grow by appending, one file each, and so outlive their connections and the daemon.
 * One request works on an upload at a time: a later one ends the earlier, whose connection is gone
 * and not noticed yet.
 */
export class Uploads {
  readonly #options: ArtifactStoreOptions;
  readonly #finished: Finished;
  readonly #workers = new Map<string, Worker>();
  /** The digest of what has come so far, so that a large one is not read again at its end. */
  readonly #digests = new Map<string, { readonly hash: Hash; bytes: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ArtifactStoreOptions, finished: Finished) {
    this.#options = options;
    this.#finished = finished;
  }

  path(id: string): string {
    return join(this.#options.dir, `upload-${id}`);
  }

  /** Bytes that are there; 0 when nothing is known of it. */
  async offset(id: string): Promise<number> {
    return await this.#alone(id, () => sizeOf(this.path(id)));
  }

  /**
   * Appends what comes. What came before a cut stays; anything else that goes wrong removes the whole.
   * @param announced bytes of the whole, where known: size and disk are checked before one is written
   * @returns bytes that are there now
   * @throws ZDD_USAGE when `offset` is not where it ends, ZDD_ARTIFACT_TOO_LARGE, ZDD_DISK_FULL,
   * ZDD_ARTIFACT_CORRUPT (cut, or nothing for `idleMs`), ZDD_AGENT_BUSY, or the signal's reason
   */
  async append(
    id: string,
    offset: number,
    stream: Readable,
    { announced, signal }: { readonly announced?: number; readonly signal: AbortSignal },
  ): Promise<number> {
    return await this.#alone(id, async (stopped) => {
      const present = await sizeOf(this.path(id));
      if (present !== offset) {
        throw new ZddError('ZDD_USAGE', `the upload stands at byte ${present}, not ${offset}`);
      }
      if (present === 0) await this.#begin();
      if (announced !== undefined) await this.#requireRoom(announced, present);
      const both = AbortSignal.any([signal, stopped]);
      try {
        return await this.#write(id, present, stream, both);
      } catch (error) {
        const cut = both.aborted || (error instanceof ZddError && isCut(error));
        if (!cut) await this.#forget(id);
        throw diskFullOr(error, this.#options.dir);
      }
    });
  }

  /**
   * Makes it an artifact, durable. May be repeated: what has been finished is found.
   * @throws ZDD_ARTIFACT_CORRUPT, ZDD_ARTIFACT_DIGEST: then it is gone; ZDD_ARTIFACT_UNKNOWN
   */
  async finish(id: string, bytes: number, sha256: string): Promise<ReceivedArtifact> {
    return await this.#alone(id, async () => {
      const path = this.path(id);
      const present = await sizeOf(path);
      if (present === 0) {
        const before = await this.#finished.find(sha256);
        if (before !== null) return before;
        throw new ZddError('ZDD_ARTIFACT_UNKNOWN', 'the upload is no longer on the host', {
          tries: ['zdd-agent push'],
        });
      }
      try {
        if (present !== bytes) throw corrupt(`${present} of ${bytes} bytes came`);
        const digest = (await this.#digestOf(id, present)).hash.digest('hex');
        if (digest !== sha256) throw notAnnounced(sha256, digest);
        await sync(path);
        return await this.#finished.keep(path, sha256, bytes);
      } finally {
        await this.#forget(id);
      }
    });
  }

  /** Does nothing when it is gone. */
  async cancel(id: string): Promise<void> {
    await this.#alone(id, () => this.#forget(id));
  }

  /** Removes what has been left alone, and looks again later when something is left. */
  async sweep(): Promise<number> {
    const { dir } = this.#options;
    let removed = 0;
    let left = 0;
    for (const name of await namesIn(dir)) {
      const id = NAME.exec(name)?.[1];
      if (id === undefined) continue;
      const found = await stat(this.path(id)).catch(() => null);
      const old = found !== null && Date.now() - found.mtimeMs >= this.#keptMs;
      if (old && !this.#workers.has(id)) {
        await this.cancel(id);
        removed += 1;
      } else left += 1;
    }
    if (left > 0) this.#timer ??= setTimeout(() => this.#lookAgain(), this.#keptMs).unref();
    return removed;
  }

  get #keptMs(): number {
    return this.#options.uploadKeptMs ?? UPLOAD_KEPT_MS;
  }

  #lookAgain(): void {
    this.#timer = undefined;
    // A disk that cannot be read now is looked at by the next upload.
    this.sweep().catch(() => undefined);
  }

  async #begin(): Promise<void> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await this.sweep();
    this.#timer ??= setTimeout(() => this.#lookAgain(), this.#keptMs).unref();
    const there = (await namesIn(dir)).filter((name) => NAME.test(name)).length;
    if (there < MAX_UPLOADS) return;
    throw new ZddError('ZDD_AGENT_BUSY', `${there} uploads are under way on this host`, {
      tries: ['zdd-agent push'],
    });
  }

  async #requireRoom(announced: number, present: number): Promise<void> {
    const { maxBytes } = this.#options;
    if (announced > maxBytes) {
      throw tooLarge(`${sizeText(announced)} announced, the limit is ${sizeText(maxBytes)}`);
    }
    await this.#finished.requireSpace(announced - present);
  }

  async #write(
    id: string,
    present: number,
    stream: Readable,
    signal: AbortSignal,
  ): Promise<number> {
    const { dir, maxBytes, reserveBytes, idleMs = IDLE_MS, freeBytes } = this.#options;
    const digest = await this.#digestOf(id, present);
    const space = new SpaceGuard(dir, reserveBytes, freeBytes);
    const file = await open(this.path(id), 'a', 0o600);
    try {
      let at = present;
      for await (const chunk of chunksOf(stream, signal, idleMs, () => `${at} bytes`)) {
        if (at + chunk.length > maxBytes) throw tooLarge(`more than ${sizeText(maxBytes)} came`);
        await space.claim(chunk.length);
        await writeAll(file, chunk);
        at += chunk.length;
        digest.hash.update(chunk);
        digest.bytes = at;
      }
      return at;
    } finally {
      await file.close();
    }
  }

  async #forget(id: string): Promise<void> {
    this.#digests.delete(id);
    await rm(this.path(id), { force: true });
  }

  /** Of what has come; read from the disk where this daemon has not seen all of it come. */
  async #digestOf(id: string, present: number): Promise<{ readonly hash: Hash; bytes: number }> {
    const known = this.#digests.get(id);
    if (known?.bytes === present) return known;
    const digest = { hash: createHash('sha256'), bytes: present };
    if (present > 0) {
      const already = createReadStream(this.path(id), { end: present - 1 });
      for await (const chunk of already) digest.hash.update(chunk);
    }
    this.#digests.set(id, digest);
    return digest;
  }

  /** Ends what works on this upload, waits for that, and then works on it alone. */
  async #alone<T>(id: string, work: (stopped: AbortSignal) => Promise<T>): Promise<T> {
    const earlier = this.#workers.get(id);
    earlier?.stop();
    const controller = new AbortController();
    const run = Promise.resolve(earlier?.done).then(() => work(controller.signal));
    const worker: Worker = {
      stop: () => controller.abort(corrupt('the upload goes on over another connection')),
      done: run.catch(() => undefined),
    };
    this.#workers.set(id, worker);
    try {
      return await run;
    } finally {
      if (this.#workers.get(id) === worker) this.#workers.delete(id);
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isCut({ code }: ZddError): boolean {
  return code === 'ZDD_ARTIFACT_CORRUPT';
}

/** Writes all of it, however often the system takes only a part. */
export async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    at += (await file.write(chunk, at, chunk.length - at)).bytesWritten;
  }
}
