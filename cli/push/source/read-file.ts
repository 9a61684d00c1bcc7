import { createHash, hash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readSync,
  type Stats,
} from 'node:fs';
import type { ReleaseFile } from '../../../agent/protocol/manifest.ts';
import { reasonOf } from './source.ts';
import { AT_ONCE } from './tree.ts';

/** Memory for one small file after the other: thousands of buffers would have to be cleared away. */
const small = Buffer.alloc(AT_ONCE);

/** What was found as a file may have become a pipe, on which opening or reading would wait for ever. */
const CAREFULLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

interface Read {
  readonly file: ReleaseFile;
  /** Where it is small: good until the next one is read. */
  readonly content: Buffer | null;
}

/**
 * What is in a file now: while it is read it may grow.
 * @param at where it lies
 * @param path within the release
 * @returns why it cannot be read, otherwise
 * @throws the reason of `signal`
 */
export async function readFound(
  at: string,
  path: string,
  signal: AbortSignal,
): Promise<Read | string> {
  try {
    const fd = openSync(at, CAREFULLY);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) return kindOf(stats);
      const file = { type: 'file', path, executable: (stats.mode & 0o111) !== 0 } as const;
      if (stats.size < AT_ONCE) {
        const bytes = readInto(small, fd);
        const content = small.subarray(0, bytes);
        // One that fills it may have grown beyond.
        if (bytes < AT_ONCE) {
          return { file: { ...file, bytes, sha256: hash('sha256', content) }, content };
        }
      }
      return { file: { ...file, ...(await digestOf(at, fd, signal)) }, content: null };
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    signal.throwIfAborted();
    return reasonOf(cause);
  }
}

/** @returns how many bytes there are, `buffer.length` if there may be more */
function readInto(buffer: Buffer, file: number): number {
  for (let at = 0; ; ) {
    const bytes = readSync(file, buffer, at, buffer.length - at, at);
    at += bytes;
    if (bytes === 0 || at === buffer.length) return at;
  }
}

async function digestOf(
  path: string,
  fd: number,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string }> {
  const digest = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { fd, autoClose: false, start: 0, signal })) {
    bytes += chunk.length;
    digest.update(chunk);
  }
  return { bytes, sha256: digest.digest('hex') };
}

/** Why what is no file, folder or link does not travel. */
export function kindOf(found: Pick<Stats, 'isSocket' | 'isFIFO'>): string {
  if (found.isSocket()) return 'a socket: only files, folders and links travel';
  if (found.isFIFO()) return 'a named pipe: only files, folders and links travel';
  return 'a device: only files, folders and links travel';
}
