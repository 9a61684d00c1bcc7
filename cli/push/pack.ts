import { createHash } from 'node:crypto';
import { createWriteStream, Stats } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Pack } from 'tar';
import { ZddError } from '../../agent/protocol/errors.ts';
import { readIgnored } from './ignored.ts';
import { type Entry, scanFolder } from './scan.ts';
import { reasonOf } from './source.ts';

/** A packed folder, in a temporary file of its own. */
export interface Packed {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Files within, and what they have together, bytes. */
  readonly files: number;
  readonly contentBytes: number;
  /** Deletes the temporary file. */
  remove(): Promise<void>;
}

/**
 * Packs a folder as tar.gz. The same contents give the same bytes wherever and whenever they are
 * packed: sorted paths, no owners, no times of this machine, no hard links.
 * @throws ZDD_ARTIFACT_UNSAFE, ZDD_ARTIFACT_EMPTY, ZDD_DISK_FULL (here), the reason of `signal`
 */
export async function packFolder(folder: string, signal: AbortSignal): Promise<Packed> {
  const entries = await scanFolder(folder, await readIgnored(folder), signal);
  const temporary = await mkdtemp(join(tmpdir(), 'zdd-push-'));
  const remove = () => rm(temporary, { recursive: true, force: true });
  try {
    const path = join(temporary, 'artifact.tar.gz');
    const sha256 = await writeArchive(folder, entries, path, signal);
    const files = entries.filter((entry) => entry.kind === 'file');
    return {
      path,
      bytes: (await stat(path)).size,
      sha256,
      files: files.length,
      contentBytes: files.reduce((sum, file) => sum + file.bytes, 0),
      remove,
    };
  } catch (cause) {
    await remove();
    signal.throwIfAborted();
    throw packingFailed(cause);
  }
}

/** @returns sha256 of what was written, hex. */
async function writeArchive(
  folder: string,
  entries: readonly Entry[],
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const times = new Map(entries.map((entry) => [entry.path, timeOf(entry)]));
  const pack = new Pack({
    cwd: folder,
    gzip: true,
    portable: true,
    noDirRecurse: true,
    strict: true,
    filter: (name, stats) => {
      if (stats instanceof Stats) normalise(stats, times.get(name) ?? EPOCH);
      return true;
    },
  });
  for (const entry of entries) pack.add(entry.path);
  pack.end();
  const digest = createHash('sha256');
  await pipeline(
    pack,
    async function* hashed(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        digest.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(path, { mode: 0o600 }),
    { signal },
  );
  return digest.digest('hex');
}

/** 2001-09-09, in seconds: long ago, so that no clock finds a file from the future. */
const EPOCH_S = 1_000_000_000;
const EPOCH = new Date(EPOCH_S * 1_000);

/**
 * The time a file gets: made from its contents. Web servers build their ETag from time and size; one
 * fixed time for all would let a browser keep the old one of two files of the same size.
 */
function timeOf(entry: Entry): Date {
  if (entry.kind !== 'file') return EPOCH;
  const offset = Number.parseInt(entry.sha256.slice(0, 7), 16);
  return new Date((EPOCH_S + offset) * 1_000);
}

/** Takes from what is written everything that is this machine's and not the content's. */
function normalise(stats: Stats, time: Date): void {
  stats.mtime = time;
  // Two names of one file travel as two files: whether they were linked is no part of the content.
  stats.nlink = 1;
  // An agent refuses setuid, setgid and sticky; on folders they are common and mean nothing there.
  stats.mode &= ~0o7000;
}

function packingFailed(cause: unknown): ZddError {
  if (cause instanceof ZddError) return cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC') {
    return new ZddError('ZDD_DISK_FULL', `no space left for packing in ${tmpdir()}`, {
      traffic: 'untouched: nothing was sent',
      tries: [`df -h ${tmpdir()}`, 'TMPDIR=/path/with/space zdd-agent push'],
      cause,
    });
  }
  const path = cause instanceof Error && 'path' in cause ? String(cause.path) : 'a file';
  return new ZddError('ZDD_ARTIFACT_UNSAFE', 'the folder changed while it was packed', {
    evidence: [[path, reasonOf(cause)]],
    traffic: 'untouched: nothing was sent',
    tries: ['zdd-agent push'],
    cause,
  });
}
