import { createHash, hash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ZddError } from '../../agent/protocol/errors.ts';
import { byPath, type ReleaseEntry } from '../../agent/protocol/manifest.ts';
import type { Ignored } from './ignored.ts';
import { reasonOf } from './source.ts';
import { AT_ONCE } from './tree.ts';

/** Problems listed; the rest is counted. */
const SHOWN = 20;
/** Small files are read at once, which is much faster; in between, the connection gets its turn, ms. */
const TURN_MS = 4;

/**
 * Everything of a folder that travels. Every file is read once here, so that what cannot be read is
 * known before anything is sent.
 * @throws ZDD_ARTIFACT_UNSAFE with all problems; ZDD_ARTIFACT_EMPTY; the reason of `signal`
 */
export async function scanFolder(
  root: string,
  ignored: Ignored,
  signal: AbortSignal,
): Promise<ReleaseEntry[]> {
  const realRoot = realpathSync.native(root);
  const scan: Scan = { root, realRoot, ignored, signal, entries: [], bad: [], turn: 0 };
  await scanInto(scan, '');
  return accepted(scan.entries, scan.bad);
}

/**
 * Sorted, unless something is wrong with them.
 * @throws ZDD_ARTIFACT_UNSAFE, ZDD_ARTIFACT_EMPTY
 */
export function accepted(
  entries: readonly ReleaseEntry[],
  bad: readonly (readonly [path: string, why: string])[],
): ReleaseEntry[] {
  if (bad.length > 0) throw refuse(bad);
  if (!entries.some(({ type }) => type === 'file')) {
    throw new ZddError('ZDD_ARTIFACT_EMPTY', 'there is no file to send');
  }
  return entries.toSorted(byPath);
}

interface Scan {
  readonly root: string;
  readonly realRoot: string;
  readonly ignored: Ignored;
  readonly signal: AbortSignal;
  readonly entries: ReleaseEntry[];
  readonly bad: [path: string, why: string][];
  /** When others got their turn the last time. */
  turn: number;
}

async function scanInto(scan: Scan, folder: string): Promise<void> {
  scan.signal.throwIfAborted();
  let names: Buffer[];
  try {
    names = readdirSync(join(scan.root, folder), { encoding: 'buffer' });
  } catch (cause) {
    scan.bad.push([folder || '.', reasonOf(cause)]);
    return;
  }
  for (const raw of names) {
    const name = raw.toString('utf8');
    const path = folder === '' ? name : `${folder}/${name}`;
    if (!Buffer.from(name).equals(raw)) scan.bad.push([path, 'its name is not UTF-8']);
    else await look(scan, path);
  }
}

async function look(scan: Scan, path: string): Promise<void> {
  if (performance.now() - scan.turn > TURN_MS) {
    await setImmediate();
    scan.signal.throwIfAborted();
    scan.turn = performance.now();
  }
  const at = join(scan.root, path);
  try {
    const found = lstatSync(at);
    if (scan.ignored(path, found.isDirectory())) return;
    if (found.isDirectory()) {
      scan.entries.push({ type: 'directory', path });
      await scanInto(scan, path);
    } else if (found.isSymbolicLink()) {
      const target = readlinkSync(at);
      const why = leadsOut(path, target) ?? reallyLeadsOut(scan, path, target);
      if (why === null) scan.entries.push({ type: 'symlink', path, target });
      else scan.bad.push([path, why]);
    } else if (found.isFile()) {
      const content = await contentOf(at, found.size, scan.signal);
      const executable = (found.mode & 0o111) !== 0;
      scan.entries.push({ type: 'file', path, executable, ...content });
    } else {
      scan.bad.push([path, kindOf(found)]);
    }
  } catch (cause) {
    scan.signal.throwIfAborted();
    scan.bad.push([path, reasonOf(cause)]);
  }
}

/** Why a link may not travel, by its letters; null when it stays within the release. */
export function leadsOut(path: string, target: string): string | null {
  if (target.startsWith('/')) return `a link to the absolute path ${target}`;
  const aim = posix.normalize(posix.join(posix.dirname(path), target));
  return aim === '..' || aim.startsWith('../') ? `a link out of the folder, to ${target}` : null;
}

/** What looks inside may still lead out, through another link. One that leads nowhere yet may travel. */
function reallyLeadsOut({ root, realRoot }: Scan, path: string, target: string): string | null {
  let real: string;
  try {
    // The kernel's own way of following: `..` after a link is not what its letters say.
    real = realpathSync.native(join(root, path));
  } catch {
    return null;
  }
  const inside = relative(realRoot, real);
  return inside === '..' || inside.startsWith(`..${sep}`)
    ? `a link out of the folder, to ${target}`
    : null;
}

/** Memory for one small file after the other: thousands of buffers would have to be cleared away. */
const small = Buffer.alloc(AT_ONCE);

/** @returns how many bytes there are, `buffer.length` if there may be more */
function readInto(buffer: Buffer, path: string): number {
  const file = openSync(path, 'r');
  try {
    for (let at = 0; ; ) {
      const bytes = readSync(file, buffer, at, buffer.length - at, null);
      at += bytes;
      if (bytes === 0 || at === buffer.length) return at;
    }
  } finally {
    closeSync(file);
  }
}

/** What is in a file now: while it is read it may grow. */
async function contentOf(
  path: string,
  size: number,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string }> {
  if (size < AT_ONCE) {
    const bytes = readInto(small, path);
    // One that fills it may have grown beyond.
    if (bytes < AT_ONCE) return { bytes, sha256: hash('sha256', small.subarray(0, bytes)) };
  }
  const digest = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { signal })) {
    bytes += chunk.length;
    digest.update(chunk);
  }
  return { bytes, sha256: digest.digest('hex') };
}

function kindOf(found: Stats): string {
  if (found.isSocket()) return 'a socket: only files, folders and links travel';
  if (found.isFIFO()) return 'a named pipe: only files, folders and links travel';
  return 'a device: only files, folders and links travel';
}

function refuse(bad: readonly (readonly [string, string])[]): ZddError {
  const rest = bad.length - SHOWN;
  return new ZddError(
    'ZDD_ARTIFACT_UNSAFE',
    bad.length === 1 ? 'one path cannot be sent' : `${bad.length} paths cannot be sent`,
    {
      evidence: [
        ...bad.slice(0, SHOWN),
        ...(rest > 0 ? ([['…', `and ${rest} more`]] as const) : []),
      ],
      traffic: 'untouched: nothing was sent',
      tries: ['edit .zddignore to leave them out'],
    },
  );
}
