import { randomBytes } from 'node:crypto';
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  stat,
  symlink,
} from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import { MANIFEST_NAME } from '../../protocol/manifest.ts';
import { diskFullOr, unsafe } from '../artifact/errors.ts';
import { splitName } from '../artifact/names.ts';
import { errnoOf, fsyncDir, namesIn, removeTree } from '../atomic-file.ts';

/** One path of a release that leads to what is kept across releases. */
export interface SharedLink {
  /** From the root of the release. */
  readonly path: string;
  readonly target: string;
  /** It was made just now: as a copy of what the release brought, or empty. */
  readonly made: 'no' | 'seeded' | 'empty';
}

const SEED = /^\.zdd-seed-[0-9a-f]{8}$/;

/**
 * Replaces paths of a staged release by absolute links into `sharedDir`. To be called before
 * `commitRelease`; may be repeated. One caller a `sharedDir` at a time.
 *
 * What is in `sharedDir` always wins. A path that is not there yet starts as a copy of what the
 * release brings at that path; if it brings nothing, as an empty folder, unless its last name has a
 * dot and no `/` behind it (`.env`, `data/app.sqlite`): such a file is left for the app or the admin
 * to make, and the link dangles until then.
 * @throws ZDD_CONFIG_INVALID for paths that lie in one another, ZDD_ARTIFACT_UNSAFE when the release
 * has a link on the way, ZDD_DISK_FULL
 */
export async function linkShared(
  releaseDir: string,
  sharedDir: string,
  paths: readonly string[],
): Promise<readonly SharedLink[]> {
  const wanted = checked(paths);
  if (wanted.length === 0) return [];
  try {
    await mkdir(dirname(sharedDir), { recursive: true, mode: 0o750 });
    const modes = await modesIn(dirname(sharedDir));
    await mkdir(sharedDir, { recursive: true, mode: modes.folder });
    // A copy that was cut off is not yet anyone's data.
    for (const name of await namesIn(sharedDir)) {
      if (SEED.test(name)) await removeTree(join(sharedDir, name));
    }
    const links: SharedLink[] = [];
    for (const { path, folder } of wanted) {
      links.push(await linkOne(releaseDir, sharedDir, path, folder, modes));
    }
    return links;
  } catch (error) {
    throw diskFullOr(error, sharedDir);
  }
}

interface Modes {
  readonly folder: number;
  readonly file: number;
  readonly executable: number;
}

/**
 * What hands down its group belongs to an app that runs as another user: that group may write. Else
 * the app runs as our own user, and nobody else needs to reach anything. Folders get their mode from
 * mkdir alone: a chmod would take the setgid bit away.
 */
async function modesIn(appDir: string): Promise<Modes> {
  const isHandedDown = ((await stat(appDir)).mode & 0o2000) !== 0;
  return isHandedDown
    ? { folder: 0o770, file: 0o660, executable: 0o770 }
    : { folder: 0o700, file: 0o600, executable: 0o700 };
}

/**
 * The app can write into its shared folder: a link that it made where a folder is on the way must
 * not lead us elsewhere. Those of an admin, to another disk, are followed.
 */
async function refuseForeignLinks(sharedDir: string, path: string): Promise<void> {
  let at = sharedDir;
  for (const component of splitName(path).slice(0, -1)) {
    at = join(at, component);
    const found = await lstat(at).catch(() => null);
    if (found?.isSymbolicLink() !== true) continue;
    if (found.uid === 0 || found.uid === process.getuid?.()) continue;
    throw unsafe(path, `zdd.yaml shares it, but the app has made ${at} a link`);
  }
}

function checked(paths: readonly string[]): Array<{ path: string; folder: boolean }> {
  const wanted = new Map<string, boolean>();
  for (const text of paths) {
    const components = splitName(text);
    const path = components.join('/');
    if (
      path === '' ||
      text.startsWith('/') ||
      components.includes('..') ||
      path === MANIFEST_NAME
    ) {
      throw invalid(text, 'it is no path inside the release');
    }
    const guess = !posix.basename(path).includes('.');
    wanted.set(path, text.endsWith('/') || guess);
  }
  for (const path of wanted.keys()) {
    for (const outer of wanted.keys()) {
      if (path.startsWith(`${outer}/`)) throw invalid(path, `it lies in "${outer}", also shared`);
    }
  }
  return [...wanted].map(([path, folder]) => ({ path, folder }));
}

async function linkOne(
  releaseDir: string,
  sharedDir: string,
  path: string,
  folder: boolean,
  modes: Modes,
): Promise<SharedLink> {
  const link = join(releaseDir, path);
  const target = join(sharedDir, path);
  await makeParents(releaseDir, path);
  await refuseForeignLinks(sharedDir, path);
  const brought = await typeOf(link);
  const linked = brought === 'symlink' && (await readlink(link)) === target;
  if (brought === 'symlink' && !linked) throw unsafe(path, 'a link, where zdd.yaml shares a path');
  if (brought === 'other') throw unsafe(path, 'neither file nor folder');
  const there = (await typeOf(target)) !== null;
  let made: SharedLink['made'] = 'no';
  if (!there) {
    await mkdir(dirname(target), { recursive: true, mode: modes.folder });
    if (brought === 'file' || brought === 'directory') {
      await seed(link, sharedDir, target, modes);
      made = 'seeded';
    } else if (folder) {
      await mkdir(target, { mode: modes.folder });
      made = 'empty';
    }
    // `target` may lie some new folders deep.
    for (let dir = dirname(target); dir.startsWith(sharedDir); dir = dirname(dir))
      await fsyncDir(dir);
  }
  if (!linked) {
    await removeTree(link);
    await symlink(target, link);
    await fsyncDir(dirname(link));
  }
  return { path, target, made };
}

/** The folders above a shared path must be the release's own: through a link we would write elsewhere. */
async function makeParents(releaseDir: string, path: string): Promise<void> {
  let at = releaseDir;
  for (const component of splitName(path).slice(0, -1)) {
    const parent = at;
    at = join(at, component);
    const type = await typeOf(at);
    if (type === null) {
      await mkdir(at, { mode: 0o755 });
      await fsyncDir(parent);
    } else if (type !== 'directory') {
      throw unsafe(path, `zdd.yaml shares it, but "${component}" is no folder`);
    }
  }
}

/** Copies aside and renames, so that a shared path is whole or not there. */
async function seed(from: string, sharedDir: string, target: string, modes: Modes): Promise<void> {
  const aside = join(sharedDir, `.zdd-seed-${randomBytes(4).toString('hex')}`);
  try {
    await copy(from, aside, [], modes);
    await rename(aside, target);
  } finally {
    await removeTree(aside);
  }
}

/** `inside`: the folders from the shared path down to `from`. */
async function copy(
  from: string,
  to: string,
  inside: readonly string[],
  modes: Modes,
): Promise<void> {
  const found = await lstat(from);
  if (found.isSymbolicLink()) {
    const target = await readlink(from);
    if (/^\.\.(\/|$)/.test(posix.join(...inside.slice(0, -1), target))) {
      throw unsafe(inside.join('/'), 'a link out of a shared folder');
    }
    await symlink(target, to);
    return;
  }
  if (found.isFile()) {
    await copyFile(from, to);
    const file = await open(to, 'r');
    try {
      // Shared files are the app's to change, and .env is nobody else's to read.
      await file.chmod((found.mode & 0o111) === 0 ? modes.file : modes.executable);
      await file.sync();
    } finally {
      await file.close();
    }
    return;
  }
  await mkdir(to, { mode: modes.folder });
  for (const name of await readdir(from)) {
    await copy(join(from, name), join(to, name), [...inside, name], modes);
  }
  await fsyncDir(to);
}

async function typeOf(path: string): Promise<'file' | 'directory' | 'symlink' | 'other' | null> {
  const found = await lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return null;
  if (found.isSymbolicLink()) return 'symlink';
  if (found.isDirectory()) return 'directory';
  return found.isFile() ? 'file' : 'other';
}

function invalid(path: string, why: string): ZddError {
  return new ZddError('ZDD_CONFIG_INVALID', 'zdd.yaml has 1 problem', {
    evidence: [['zdd.yaml', `shared: ${JSON.stringify(path)} cannot be shared: ${why}`]],
  });
}
