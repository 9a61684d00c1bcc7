import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ZddError } from '../../protocol/errors.ts';
import { fsyncDir, namesIn, sweepTemporaryFiles, temporaryPath } from '../atomic-file.ts';
import { corrupt, diskFull, diskFullOr, notAnnounced, sizeText, tooLarge } from './errors.ts';
import type { ArtifactStoreOptions, ReceivedArtifact } from './kept.ts';
import { freeBytesOf } from './limits.ts';
import { chunksOf } from './upload.ts';
import { Uploads, writeAll } from './uploads.ts';

export { type AppConfigFile, readAppConfig } from './config.ts';
export { requireWhole } from './whole.ts';

const DIGEST = /^[0-9a-f]{64}$/;
const IDLE_MS = 60_000;

/** What the sender says about the bytes to come. */
export interface Announcement {
  /** Bytes. */
  readonly length: number;
  /** sha256 of the bytes, hex. */
  readonly sha256?: string;
  readonly signal: AbortSignal;
}

export function createArtifactStore(options: ArtifactStoreOptions): ArtifactStore {
  return new ArtifactStore(options);
}

/** Received archives, each named by the sha256 of its bytes, readable by the agent only. */
export class ArtifactStore {
  /** Artifacts that come in pieces. */
  readonly uploads: Uploads;
  readonly #options: ArtifactStoreOptions;
  readonly #uploads = new Set<string>();
  /** Announced bytes of running uploads that are not on disk yet. */
  #promised = 0;

  constructor(options: ArtifactStoreOptions) {
    this.#options = options;
    this.uploads = new Uploads(options, {
      keep: (file, artifact, bytes) => this.#kept(file, artifact, bytes),
      find: (artifact) => this.#find(artifact),
      requireSpace: (bytes) => this.requireSpace(bytes),
    });
  }

  /**
   * Takes an archive: size and disk are checked before a byte is read, the bytes are hashed on
   * their way to the disk, and the artifact gets its name only when all of it is durable. Whatever
   * goes wrong, nothing of it stays. `stream` is never destroyed: an answer may still have to go
   * back on the same connection.
   *
   * The disk must have room for the archive twice and for the reserve: it is kept until it is
   * unpacked, and it does not unpack to less than itself. What it really unpacks to is checked then.
   * @throws ZDD_ARTIFACT_TOO_LARGE, ZDD_DISK_FULL, ZDD_ARTIFACT_CORRUPT (more or fewer bytes than
   * announced, or none for `idleMs`), ZDD_ARTIFACT_DIGEST, or the signal's reason
   */
  async receive(stream: Readable, announcement: Announcement): Promise<ReceivedArtifact> {
    const { length, signal } = announcement;
    const { dir, maxBytes } = this.#options;
    signal.throwIfAborted();
    if (length > maxBytes) {
      throw tooLarge(`${sizeText(length)} announced, the limit is ${sizeText(maxBytes)}`);
    }
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await this.requireSpace(length);
    const temporary = temporaryPath(dir);
    this.#uploads.add(temporary);
    this.#promised += length;
    try {
      const digest = await this.#write(temporary, stream, announcement);
      return await this.#kept(temporary, digest, length);
    } catch (error) {
      throw diskFullOr(error, dir);
    } finally {
      await rm(temporary, { force: true });
      this.#promised -= length;
      this.#uploads.delete(temporary);
    }
  }

  has(artifact: string): boolean {
    return DIGEST.test(artifact) && existsSync(this.path(artifact));
  }

  /** @throws ZDD_ARTIFACT_UNKNOWN when `artifact` is no digest */
  path(artifact: string): string {
    if (!DIGEST.test(artifact)) {
      throw new ZddError('ZDD_ARTIFACT_UNKNOWN', `${JSON.stringify(artifact)} is no artifact`, {
        tries: ['zdd-agent push'],
      });
    }
    return join(this.#options.dir, artifact);
  }

  /**
   * Artifacts that have not been received again for `olderThanMs`: one that has just come may still
   * be waiting for the request to deploy it.
   */
  async list({ olderThanMs = 0 }: { readonly olderThanMs?: number } = {}): Promise<string[]> {
    const artifacts = (await namesIn(this.#options.dir)).filter((name) => DIGEST.test(name));
    if (olderThanMs === 0) return artifacts;
    const before = Date.now() - olderThanMs;
    const old: string[] = [];
    for (const artifact of artifacts) {
      const found = await stat(this.path(artifact)).catch(() => null);
      if (found !== null && found.mtimeMs < before) old.push(artifact);
    }
    return old;
  }

  /** Does nothing when it is gone. */
  async remove(artifact: string): Promise<void> {
    await rm(this.path(artifact), { force: true });
  }

  /** Removes what uploads of a killed daemon left; running ones are spared. Returns how many. */
  async sweep(): Promise<number> {
    const abandoned = await this.uploads.sweep();
    return abandoned + (await sweepTemporaryFiles(this.#options.dir, this.#uploads));
  }

  /**
   * Whether an archive of this size may come.
   * @param unpacked what the release will take; at least as much, where that is not known yet
   * @throws ZDD_DISK_FULL
   */
  async requireSpace(length: number, unpacked = length): Promise<void> {
    const { dir, reserveBytes, freeBytes = freeBytesOf } = this.#options;
    const free = await freeBytes(dir);
    const need = length + unpacked + 2 * this.#promised + reserveBytes;
    if (free >= need) return;
    throw diskFull(
      dir,
      `${sizeText(free)} free, ${sizeText(need)} needed: the archive, what it unpacks to and ${sizeText(reserveBytes)} in reserve`,
    );
  }

  async #write(path: string, stream: Readable, announcement: Announcement): Promise<string> {
    const file = await open(path, 'wx', 0o600);
    try {
      const digest = await this.#copy(stream, file, announcement);
      if (announcement.sha256 !== undefined && announcement.sha256 !== digest) {
        throw notAnnounced(announcement.sha256, digest);
      }
      await file.sync();
      return digest;
    } finally {
      await file.close();
    }
  }

  async #copy(
    stream: Readable,
    file: FileHandle,
    { length, signal }: Announcement,
  ): Promise<string> {
    const { idleMs = IDLE_MS } = this.#options;
    const hash = createHash('sha256');
    let received = 0;
    for await (const chunk of chunksOf(
      stream,
      signal,
      idleMs,
      () => `${received} of ${length} bytes`,
    )) {
      received += chunk.length;
      if (received > length) throw corrupt(`more than the ${length} bytes announced were sent`);
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    if (received < length) throw corrupt(`the upload ended after ${received} of ${length} bytes`);
    return hash.digest('hex');
  }

  async #kept(temporary: string, artifact: string, bytes: number): Promise<ReceivedArtifact> {
    return { artifact, bytes, reused: await this.#keep(temporary, artifact, bytes) };
  }

  async #find(artifact: string): Promise<ReceivedArtifact | null> {
    const found = await stat(this.path(artifact)).catch(() => null);
    return found === null ? null : { artifact, bytes: found.size, reused: true };
  }

  /** Returns whether these bytes were here before. */
  async #keep(temporary: string, digest: string, length: number): Promise<boolean> {
    const path = this.path(digest);
    const known = await stat(path).catch(() => null);
    if (known?.size === length) {
      const now = new Date();
      await utimes(path, now, now);
      return true;
    }
    await rename(temporary, path);
    await fsyncDir(this.#options.dir);
    return false;
  }
}
