import { createHash, hash, randomBytes } from 'node:crypto';
import { type FileHandle, link, lstat, mkdir, open, rename, rmdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ArchiveEntry, readEntries } from './artifact-entries.ts';
import { diskFullOr, sizeText, tooLarge, unsafe } from './artifact-errors.ts';
import { freeBytesOf, SpaceGuard, type UnpackLimits } from './artifact-limits.ts';
import { namesIn, removeTree, renameDurably } from './atomic-file.ts';
import { MANIFEST_NAME, manifestOf, verifyRelease } from './release-folder-manifest.ts';
import { type ReleaseEntry, ReleaseTree } from './release-folder-tree.ts';
import { WorkQueue } from './release-folder-work.ts';

export { inspectRelease, verifyRelease } from './release-folder-manifest.ts';
export { linkShared, type SharedLink } from './release-folder-shared.ts';

/** A release in its staging folder, whole and durable. */
export interface UnpackedRelease {
  readonly files: number;
  /** Content of all files. */
  readonly bytes: number;
  /**
   * sha256 of the manifest, hex: the same for the same paths, contents, executable bits and links,
   * whatever the order, times, owners and compression of the archive.
   */
  readonly digest: string;
  readonly entries: readonly ReleaseEntry[];
}

/** Below this, a file is written in one go, several at a time. */
const SMALL_FILE_BYTES = 256 * 1024;
const PARALLEL_FILES = 8;
const DISK_BLOCK = 4096;
const SETUID_OR_SETGID = 0o6000;

/**
 * Unpacks an artifact into `stagingDir`, which is made for it; what an earlier attempt left there is
 * removed. Files end as 0444 or 0555, folders as 0755, all of them synced. When it fails or is
 * aborted, `stagingDir` is gone; when the process is killed, `stagingDir` and names that begin with
 * it are all that is left.
 * @throws ZDD_ARTIFACT_*, ZDD_CONFIG_MISSING, ZDD_DISK_FULL, or the signal's reason
 */
export async function unpackArtifact(
  artifactPath: string,
  stagingDir: string,
  limits: UnpackLimits,
  signal: AbortSignal,
  freeBytes: (dir: string) => Promise<number> = freeBytesOf,
): Promise<UnpackedRelease> {
  signal.throwIfAborted();
  await discard(stagingDir);
  await mkdir(dirname(stagingDir), { recursive: true });
  const queue = new WorkQueue(PARALLEL_FILES);
  try {
    await mkdir(stagingDir, { mode: 0o700 });
    const space = new SpaceGuard(stagingDir, limits.reserveBytes, freeBytes);
    const unpacking = new Unpacking(stagingDir, limits, queue, space);
    for await (const entry of readEntries(artifactPath, limits, signal)) await unpacking.take(entry);
    return await unpacking.finish(signal);
  } catch (error) {
    // A write still under way would make its folder again behind the removal.
    await queue.settle();
    await discard(stagingDir);
    throw diskFullOr(error, dirname(stagingDir));
  }
}

/**
 * Makes a staged release the release `id`, by one rename. May be repeated: does nothing more when it
 * is done, and puts the staged one in the place of one that is there but no longer intact.
 * Both folders must be on one file system.
 */
export async function commitRelease(
  stagingDir: string,
  releasesDir: string,
  id: string,
): Promise<void> {
  const release = join(releasesDir, id);
  await mkdir(releasesDir, { recursive: true });
  const there = (await lstat(release).catch(() => null)) !== null;
  const staged = (await lstat(stagingDir).catch(() => null)) !== null;
  if (there && (!staged || (await verifyRelease(release)))) {
    await removeTree(stagingDir);
    return;
  }
  const replaced = `${stagingDir}.replaced-${randomBytes(4).toString('hex')}`;
  if (there) await renameDurably(release, replaced);
  await renameDurably(stagingDir, release);
  if (there) await removeTree(replaced);
}

/** Removes what unpackings of a killed daemon left in the folder of all stagings. */
export async function sweepStaging(stagingRoot: string): Promise<number> {
  const names = await namesIn(stagingRoot);
  for (const name of names) await removeTree(join(stagingRoot, name));
  return names.length;
}

/** Removes release folders that are not among `known`: committed, but killed before recorded. */
export async function sweepReleases(releasesDir: string, known: Iterable<string>): Promise<number> {
  const kept = new Set(known);
  const names = (await namesIn(releasesDir)).filter((name) => !kept.has(name));
  for (const name of names) await removeTree(join(releasesDir, name));
  return names.length;
}

async function discard(stagingDir: string): Promise<void> {
  const prefix = `${basename(stagingDir)}.`;
  for (const name of await namesIn(dirname(stagingDir))) {
    if (name === basename(stagingDir) || name.startsWith(prefix)) {
      await removeTree(join(dirname(stagingDir), name));
    }
  }
}

class Unpacking {
  readonly #dir: string;
  readonly #limits: UnpackLimits;
  readonly #queue: WorkQueue;
  readonly #space: SpaceGuard;
  readonly #tree = new ReleaseTree();
  readonly #made = new Set<string>(['.']);
  readonly #hardlinks: Array<{ path: string; existing: string }> = [];
  #bytes = 0;

  constructor(dir: string, limits: UnpackLimits, queue: WorkQueue, space: SpaceGuard) {
    this.#dir = dir;
    this.#limits = limits;
    this.#queue = queue;
    this.#space = space;
  }

  async take(entry: ArchiveEntry): Promise<void> {
    switch (entry.type) {
      case 'directory':
        await this.#makeDirectory(this.#tree.addDirectory(entry.name) || '.');
        return;
      case 'file':
        await this.#takeFile(entry);
        return;
      case 'symlink':
        this.#tree.addSymlink(entry.name, entry.target);
        return;
      case 'hardlink': {
        const added = this.#tree.addHardlink(entry.name, entry.target);
        if (added === null) return;
        await this.#makeDirectory(dirname(added.path));
        this.#hardlinks.push(added);
        return;
      }
    }
  }

  async finish(signal: AbortSignal): Promise<UnpackedRelease> {
    await this.#queue.drain();
    for (const { path, existing } of this.#hardlinks) {
      await link(join(this.#dir, existing), join(this.#dir, path));
    }
    await this.#dropPrefix(this.#tree.settle());
    const entries = this.#tree.entries();
    if (entries.some(({ path }) => path.toLowerCase() === MANIFEST_NAME)) {
      throw unsafe(MANIFEST_NAME, 'the agent keeps its own file of this name');
    }
    for (const entry of entries) {
      if (entry.type !== 'symlink') continue;
      // A folder that holds links only was named by no file: it is not there yet.
      await mkdir(dirname(join(this.#dir, entry.path)), { recursive: true });
      await symlink(entry.target, join(this.#dir, entry.path));
    }
    const manifest = manifestOf(entries);
    await this.#space.claim(diskSize(manifest.length));
    await writeWhole(join(this.#dir, MANIFEST_NAME), manifest, false);
    await this.#sealDirectories(entries);
    signal.throwIfAborted();
    return {
      files: entries.filter(({ type }) => type === 'file').length,
      bytes: this.#bytes,
      digest: hash('sha256', manifest),
      entries,
    };
  }

  async #takeFile(entry: ArchiveEntry): Promise<void> {
    const { name, size, mode } = entry;
    const { path, setContent } = this.#tree.addFile(name);
    // On a folder these bits only hand down a group and are normalised away like the rest; on a file
    // they give rights to whoever runs it.
    if ((mode & SETUID_OR_SETGID) !== 0) throw unsafe(name, 'setuid or setgid');
    const fileLimit = this.#limits.fileBytes ?? this.#limits.unpackedBytes;
    if (size > fileLimit) throw tooLarge(`${sizeText(size)}, the limit is ${sizeText(fileLimit)}`, name);
    this.#bytes += size;
    if (this.#bytes > this.#limits.unpackedBytes) {
      throw tooLarge(`with it the files exceed ${sizeText(this.#limits.unpackedBytes)}`, name);
    }
    await this.#makeDirectory(dirname(path));
    await this.#space.claim(diskSize(size));
    const executable = (mode & 0o111) !== 0;
    const target = join(this.#dir, path);
    if (size > SMALL_FILE_BYTES) {
      setContent({ executable, bytes: size, sha256: await writeStream(target, entry, executable) });
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of entry.content) chunks.push(chunk);
    const content = Buffer.concat(chunks);
    setContent({ executable, bytes: size, sha256: hash('sha256', content) });
    await this.#queue.add(() => writeWhole(target, content, executable));
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    await this.#space.claim(DISK_BLOCK);
    await mkdir(join(this.#dir, path), { recursive: true, mode: 0o755 });
    this.#made.add(path);
  }

  /** Makes the one folder at the root of the archive the root of the release. */
  async #dropPrefix(prefix: string): Promise<void> {
    if (prefix === '') return;
    const aside = `${this.#dir}.root`;
    await rename(join(this.#dir, prefix), aside);
    await rmdir(this.#dir);
    await rename(aside, this.#dir);
  }

  async #sealDirectories(entries: readonly ReleaseEntry[]): Promise<void> {
    const paths = entries.filter(({ type }) => type === 'directory').map(({ path }) => path);
    for (const path of ['.', ...paths]) {
      await this.#queue.add(async () => {
        const dir = await open(join(this.#dir, path), 'r');
        await sealed(dir, 0o755);
      });
    }
    await this.#queue.drain();
  }
}

async function writeWhole(path: string, content: string | Buffer, executable: boolean): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await sealed(file, executable ? 0o555 : 0o444, () => file.writeFile(content));
}

/** Returns the sha256 of the content, hex. */
async function writeStream(path: string, entry: ArchiveEntry, executable: boolean): Promise<string> {
  const digest = createHash('sha256');
  const file = await open(path, 'wx', 0o600);
  await sealed(file, executable ? 0o555 : 0o444, async () => {
    for await (const chunk of entry.content) {
      digest.update(chunk);
      await file.writeFile(chunk);
    }
  });
  return digest.digest('hex');
}

/** Writes, sets the mode (the umask has no say in it), syncs and closes. */
async function sealed(file: FileHandle, mode: number, write?: () => Promise<void>): Promise<void> {
  try {
    await write?.();
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

function diskSize(bytes: number): number {
  return Math.ceil(bytes / DISK_BLOCK + 1) * DISK_BLOCK;
}
