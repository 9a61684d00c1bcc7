import { createHash, hash } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import { lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { join, posix, relative, sep } from 'node:path';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Ignored } from './ignored.ts';
import { reasonOf } from './source.ts';

/** One thing to pack. `path` is relative to the folder, with `/`. */
export type Entry =
  | { readonly kind: 'folder' | 'link'; readonly path: string }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly bytes: number;
      readonly sha256: string;
    };

/** Above this a file is read in pieces to be hashed, bytes. */
const AT_ONCE = 1024 * 1024;
/** Problems listed; the rest is counted. */
const SHOWN = 20;

/**
 * Everything of a folder that travels, in an order that does not depend on the file system. Every
 * file is read once here, so that what cannot be read is known before anything is sent.
 * @throws ZDD_ARTIFACT_UNSAFE with all problems; ZDD_ARTIFACT_EMPTY; the reason of `signal`
 */
export async function scanFolder(
  root: string,
  ignored: Ignored,
  signal: AbortSignal,
): Promise<Entry[]> {
  const scan: Scan = {
    root,
    realRoot: await realpath(root),
    ignored,
    signal,
    entries: [],
    bad: [],
  };
  await scanInto(scan, '');
  if (scan.bad.length > 0) throw refuse(scan.bad);
  if (!scan.entries.some(({ kind }) => kind === 'file')) {
    throw new ZddError('ZDD_ARTIFACT_EMPTY', 'there is no file to send');
  }
  return scan.entries.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}

interface Scan {
  readonly root: string;
  readonly realRoot: string;
  readonly ignored: Ignored;
  readonly signal: AbortSignal;
  readonly entries: Entry[];
  readonly bad: [path: string, why: string][];
}

async function scanInto(scan: Scan, folder: string): Promise<void> {
  scan.signal.throwIfAborted();
  let names: Buffer[];
  try {
    names = await readdir(join(scan.root, folder), { encoding: 'buffer' });
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
  try {
    const found = await lstat(join(scan.root, path));
    if (scan.ignored(path, found.isDirectory())) return;
    if (found.isDirectory()) {
      scan.entries.push({ kind: 'folder', path });
      await scanInto(scan, path);
    } else if (found.isSymbolicLink()) {
      const why = await leads(scan, path);
      if (why === null) scan.entries.push({ kind: 'link', path });
      else scan.bad.push([path, why]);
    } else if (found.isFile()) {
      const sha256 = await digest(join(scan.root, path), found.size, scan.signal);
      scan.entries.push({ kind: 'file', path, bytes: found.size, sha256 });
    } else {
      scan.bad.push([path, kindOf(found)]);
    }
  } catch (cause) {
    scan.signal.throwIfAborted();
    scan.bad.push([path, reasonOf(cause)]);
  }
}

/** Why a link may not travel; null when it stays within the folder, even if it leads nowhere yet. */
async function leads(scan: Scan, path: string): Promise<string | null> {
  const target = await readlink(join(scan.root, path));
  if (target.startsWith('/')) return `a link to the absolute path ${target}`;
  const aim = posix.normalize(posix.join(posix.dirname(path), target));
  if (aim === '..' || aim.startsWith('../')) return `a link out of the folder, to ${target}`;
  // What looks inside may still lead out, through another link.
  const real = await realpath(join(scan.root, path)).catch(() => null);
  if (real === null) return null;
  const inside = relative(scan.realRoot, real);
  return inside === '..' || inside.startsWith(`..${sep}`)
    ? `a link out of the folder, to ${target}`
    : null;
}

async function digest(path: string, bytes: number, signal: AbortSignal): Promise<string> {
  if (bytes <= AT_ONCE) return hash('sha256', await readFile(path), 'hex');
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal })) digest.update(chunk);
  return digest.digest('hex');
}

function kindOf(found: Stats): string {
  if (found.isSocket()) return 'a socket: only files, folders and links travel';
  if (found.isFIFO()) return 'a named pipe: only files, folders and links travel';
  return 'a device: only files, folders and links travel';
}

function refuse(bad: readonly [string, string][]): ZddError {
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
