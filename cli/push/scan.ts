import { createHash, hash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  type Dirent,
  fstatSync,
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
import { byPath, type ReleaseEntry, type ReleaseFile } from '../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from './config.ts';
import type { Ignored } from './ignored.ts';
import { reasonOf } from './source.ts';
import { AT_ONCE } from './tree.ts';

/** Problems listed; the rest is counted. */
const SHOWN = 20;
/**
 * Small files are read at once, which is much faster; in between, the connection gets its turn, ms. It is
 * opened meanwhile, and takes a dozen turns until the agent has answered.
 */
const TURN_MS = 1;

/**
 * Takes the content of a small file, which has been read whole. The bytes are good until it has
 * resolved, or returned nothing.
 */
export type TakeFile = (file: ReleaseFile, content: Buffer) => Promise<void> | undefined;

/**
 * Everything of a folder that travels. Every file is read once here, so that what cannot be read is
 * known before anything is deployed: `zdd.yaml` first, then by path.
 * @throws ZDD_ARTIFACT_UNSAFE with all problems; ZDD_ARTIFACT_EMPTY; what `take` throws; the reason of
 * `signal`
 */
export async function scanFolder(
  root: string,
  ignored: Ignored,
  signal: AbortSignal,
  take?: TakeFile,
): Promise<ReleaseEntry[]> {
  const realRoot = realpathSync.native(root);
  const scan: Scan = { root, realRoot, ignored, signal, entries: [], found: [], bad: [], turn: 0 };
  await scanInto(scan, '');
  for (const each of scan.found.toSorted(configFirst)) {
    await turn(scan);
    const read = await readFound(scan, each);
    if (read === null) continue;
    scan.entries.push(read.file);
    // After a problem the rest is looked at for further ones only.
    if (read.content !== null && scan.bad.length === 0) await take?.(read.file, read.content);
  }
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
  /** Files, not read yet. */
  readonly found: string[];
  readonly bad: [path: string, why: string][];
  /** When others got their turn the last time. */
  turn: number;
}

function configFirst(a: string, b: string): number {
  return Number(b === CONFIG_FILE) - Number(a === CONFIG_FILE) || (a < b ? -1 : 1);
}

/** The connection, which is opened meanwhile, gets its turn. */
async function turn(scan: Scan): Promise<void> {
  if (performance.now() - scan.turn <= TURN_MS) return;
  await setImmediate();
  scan.signal.throwIfAborted();
  scan.turn = performance.now();
}

async function scanInto(scan: Scan, folder: string): Promise<void> {
  scan.signal.throwIfAborted();
  let names: Dirent<Buffer>[];
  try {
    names = readdirSync(join(scan.root, folder), { encoding: 'buffer', withFileTypes: true });
  } catch (cause) {
    scan.bad.push([folder || '.', reasonOf(cause)]);
    return;
  }
  for (const found of names) {
    const name = found.name.toString('utf8');
    const path = folder === '' ? name : `${folder}/${name}`;
    if (!Buffer.from(name).equals(found.name)) scan.bad.push([path, 'its name is not UTF-8']);
    else await look(scan, path, found);
  }
}

async function look(scan: Scan, path: string, found: Dirent<Buffer>): Promise<void> {
  await turn(scan);
  if (scan.ignored(path, found.isDirectory())) return;
  if (found.isDirectory()) {
    scan.entries.push({ type: 'directory', path });
    await scanInto(scan, path);
  } else if (found.isFile()) {
    scan.found.push(path);
  } else if (found.isSymbolicLink()) {
    lookAtLink(scan, path);
  } else {
    scan.bad.push([path, kindOf(found)]);
  }
}

function lookAtLink(scan: Scan, path: string): void {
  try {
    const target = readlinkSync(join(scan.root, path));
    const why = leadsOut(path, target) ?? reallyLeadsOut(scan, path, target);
    if (why === null) scan.entries.push({ type: 'symlink', path, target });
    else scan.bad.push([path, why]);
  } catch (cause) {
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

/** What was found as a file may have become a pipe, on which opening or reading would wait for ever. */
const CAREFULLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

interface Read {
  readonly file: ReleaseFile;
  /** Where it is small: good until the next one is read. */
  readonly content: Buffer | null;
}

/** What is in a file now: while it is read it may grow. Null, and noted, when it cannot be read. */
async function readFound(scan: Scan, path: string): Promise<Read | null> {
  const at = join(scan.root, path);
  try {
    const fd = openSync(at, CAREFULLY);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) {
        scan.bad.push([path, kindOf(stats)]);
        return null;
      }
      const file = { type: 'file', path, executable: (stats.mode & 0o111) !== 0 } as const;
      if (stats.size < AT_ONCE) {
        const bytes = readInto(small, fd);
        const content = small.subarray(0, bytes);
        // One that fills it may have grown beyond.
        if (bytes < AT_ONCE) {
          return { file: { ...file, bytes, sha256: hash('sha256', content) }, content };
        }
      }
      return { file: { ...file, ...(await digestOf(at, fd, scan.signal)) }, content: null };
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    scan.signal.throwIfAborted();
    scan.bad.push([path, reasonOf(cause)]);
    return null;
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

function kindOf(found: Pick<Stats, 'isSocket' | 'isFIFO'>): string {
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
      traffic: 'untouched: nothing was started',
      tries: ['edit .zddignore to leave them out'],
    },
  );
}
