import { type Dirent, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { byPath, type ReleaseEntry, type ReleaseFile } from '../../../agent/protocol/manifest.ts';
import { CONFIG_FILE } from './config.ts';
import type { Ignored } from './ignored.ts';
import { kindOf, readFound } from './read-file.ts';
import { reasonOf } from './source.ts';

/** Problems listed; the rest is counted. */
const SHOWN = 20;
/**
 * Small files are read at once, which is much faster; in between, the connection gets its turn, ms. It is
 * opened meanwhile, and takes a dozen turns until the agent has answered.
 */
const TURN_MS = 1;

/** Who follows a look at a folder while it goes on. */
export interface Follower {
  /**
   * Told once all names are known and before a file is read: `sha256` of the files is still empty,
   * and their sizes may change.
   */
  walked(entries: readonly ReleaseEntry[]): void;
  /**
   * Takes the content of a small file, which has been read whole. The bytes are good until it has
   * resolved. After a problem, nothing more comes.
   */
  take(file: ReleaseFile, content: Buffer): Promise<void>;
}

/**
 * Everything of a folder that travels. Every file is read once here, so that what cannot be read is
 * known before anything is deployed: `zdd.yaml` first, then by path.
 * @throws ZDD_ARTIFACT_UNSAFE with all problems; ZDD_ARTIFACT_EMPTY; what `follower` throws; the reason of
 * `signal`
 */
export async function scanFolder(
  root: string,
  ignored: Ignored,
  signal: AbortSignal,
  follower?: Follower,
): Promise<ReleaseEntry[]> {
  const realRoot = realpathSync.native(root);
  const scan: Scan = { root, realRoot, ignored, signal, entries: [], found: [], bad: [], turn: 0 };
  await scanInto(scan, '');
  const found = scan.found.toSorted(configFirst);
  if (scan.bad.length === 0) follower?.walked([...scan.entries, ...found].toSorted(byPath));
  for (const { path } of found) {
    await turn(scan);
    const read = await readFound(join(root, path), path, signal);
    if (typeof read === 'string') {
      scan.bad.push([path, read]);
      continue;
    }
    scan.entries.push(read.file);
    // After a problem the rest is looked at for further ones only.
    if (read.content !== null && scan.bad.length === 0)
      await follower?.take(read.file, read.content);
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
  readonly found: ReleaseFile[];
  readonly bad: [path: string, why: string][];
  /** When others got their turn the last time. */
  turn: number;
}

function configFirst(a: ReleaseFile, b: ReleaseFile): number {
  return Number(b.path === CONFIG_FILE) - Number(a.path === CONFIG_FILE) || byPath(a, b);
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
    noteFile(scan, path);
  } else if (found.isSymbolicLink()) {
    lookAtLink(scan, path);
  } else {
    scan.bad.push([path, kindOf(found)]);
  }
}

function noteFile(scan: Scan, path: string): void {
  try {
    const { size: bytes, mode } = lstatSync(join(scan.root, path));
    const executable = (mode & 0o111) !== 0;
    scan.found.push({ type: 'file', path, executable, bytes, sha256: '' });
  } catch (cause) {
    scan.bad.push([path, reasonOf(cause)]);
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
