import { statfs } from 'node:fs/promises';
import { diskFull, sizeText, tooLarge } from './errors.ts';

const MiB = 1024 * 1024;

/** What one upload may take. */
export interface ReceiveLimits {
  /** Size of the archive as it is sent. */
  readonly artifactBytes: number;
  /** Free bytes that must be left on the disk, for the rest of the host. */
  readonly reserveBytes: number;
}

/** What one archive may unpack to. */
export interface UnpackLimits {
  /** Content of all files together. */
  readonly unpackedBytes: number;
  /** Files, folders and links together. */
  readonly entries: number;
  /** Free bytes that must be left on the disk, for the rest of the host. */
  readonly reserveBytes: number;
  /** One file; the whole of `unpackedBytes` unless given. */
  readonly fileBytes?: number;
  /** How many times its own size an archive may unpack to, once that is above 64 MiB. 200 unless given. */
  readonly ratio?: number;
}

/** Used where the caller gives none, as when only `zdd.yaml` is read. */
export const DEFAULT_UNPACK_LIMITS: UnpackLimits = {
  unpackedBytes: 4096 * MiB,
  entries: 200_000,
  reserveBytes: 256 * MiB,
};

/** Names: what Linux takes in one component, and enough for deep dependency folders. */
export const MAX_NAME_BYTES = 255;
export const MAX_PATH_BYTES = 1024;
export const MAX_DEPTH = 64;
/** Extended headers of one entry: long names and attributes. */
export const MAX_META_BYTES = MiB;
/** A `zdd.yaml`. */
export const MAX_CONFIG_BYTES = 64 * 1024;
/** Small archives of repetitive text pack very well, and do no harm. */
const RATIO_FREE_BYTES = 64 * MiB;
const DEFAULT_RATIO = 200;
/** What tar adds to one entry: its header, an extended header, padding. */
const OVERHEAD_PER_ENTRY = 4096;

/**
 * Counts the decompressed bytes, headers and padding included, so that an archive made of nothing
 * but those is caught as well.
 * @throws ZDD_ARTIFACT_TOO_LARGE
 */
export async function* withinExpansion(
  chunks: AsyncIterable<Buffer>,
  packedBytes: number,
  limits: UnpackLimits,
): AsyncGenerator<Buffer, void, undefined> {
  const ratio = limits.ratio ?? DEFAULT_RATIO;
  const byRatio = Math.max(RATIO_FREE_BYTES, packedBytes * ratio);
  const bySize = limits.unpackedBytes + limits.entries * OVERHEAD_PER_ENTRY + 16 * MiB;
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > byRatio) {
      throw tooLarge(`${sizeText(packedBytes)} unpack to more than ${ratio} times their size`);
    }
    if (bytes > bySize) {
      throw tooLarge(`it unpacks to more than ${sizeText(limits.unpackedBytes)}`);
    }
    yield chunk;
  }
}

/** Free bytes for this user on the file system that holds `dir`. */
export async function freeBytesOf(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/** Asks for free space often enough that a disk is never filled up to the reserve. */
export class SpaceGuard {
  readonly #dir: string;
  readonly #reserveBytes: number;
  readonly #freeBytes: (dir: string) => Promise<number>;
  #granted = 0;

  constructor(
    dir: string,
    reserveBytes: number,
    freeBytes: (dir: string) => Promise<number> = freeBytesOf,
  ) {
    this.#dir = dir;
    this.#reserveBytes = reserveBytes;
    this.#freeBytes = freeBytes;
  }

  /** To be called before `bytes` are written. @throws ZDD_DISK_FULL */
  async claim(bytes: number): Promise<void> {
    if (bytes > this.#granted) {
      const free = await this.#freeBytes(this.#dir);
      if (free - this.#reserveBytes < bytes) {
        throw diskFull(
          this.#dir,
          `${sizeText(free)} free, ${sizeText(bytes)} needed beside the reserve of ${sizeText(this.#reserveBytes)}`,
        );
      }
      // Others write to this disk too, so a grant is small and is not kept for long.
      this.#granted = Math.min(free - this.#reserveBytes, Math.max(bytes, 32 * MiB));
    }
    this.#granted -= bytes;
  }
}
