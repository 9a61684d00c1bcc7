import { createHash, hash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  rename,
  rmdir,
  symlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MANIFEST_NAME, manifestOf, type ReleaseEntry } from '../../protocol/manifest.ts';
import type { ArchiveEntry } from '../artifact/entries.ts';
import { changedOnHost, sizeText, tooLarge, unsafe } from '../artifact/errors.ts';
import type { SpaceGuard, UnpackLimits } from '../artifact/limits.ts';
import type { KnownContent } from './contents.ts';
import { sha256Of } from './manifest.ts';
import { ReleaseTree } from './tree.ts';
import type { WorkQueue } from './work.ts';

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
const DISK_BLOCK = 4096;
const SETUID_OR_SETGID = 0o6000;

/** The writing side of `unpackArtifact`: takes the entries of one archive, then finishes. */
export class Unpacking {
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
        await this.takeDirectory(entry.name);
        return;
      case 'file':
        await this.#takeFile(entry);
        return;
      case 'symlink':
        this.takeSymlink(entry.name, entry.target);
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

  async takeDirectory(name: string): Promise<void> {
    await this.#makeDirectory(this.#tree.addDirectory(name) || '.');
  }

  takeSymlink(name: string, target: string): void {
    this.#tree.addSymlink(name, target);
  }

  /** A file whose content lies on this host already: copied, never linked, and hashed again. */
  async takeKnown(name: string, executable: boolean, known: KnownContent): Promise<void> {
    const { path, setContent } = await this.#enter(name, known.bytes);
    const { bytes, sha256 } = known;
    setContent({ executable, bytes, sha256 });
    await this.#queue.add(() => copyKnown(join(this.#dir, path), executable, known));
  }

  async finish(signal: AbortSignal): Promise<UnpackedRelease> {
    await this.#queue.drain();
    for (const { path, existing } of this.#hardlinks) {
      await link(join(this.#dir, existing), join(this.#dir, path));
    }
    await this.#dropPrefix(this.#tree.settle());
    const entries = this.#tree.entries();
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
    // On a folder these bits only hand down a group and are normalised away like the rest; on a file
    // they give rights to whoever runs it.
    if ((mode & SETUID_OR_SETGID) !== 0) throw unsafe(name, 'setuid or setgid');
    const { path, setContent } = await this.#enter(name, size);
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

  /** Everything that a file must pass before it is written. */
  async #enter(name: string, size: number): Promise<ReturnType<ReleaseTree['addFile']>> {
    const added = this.#tree.addFile(name);
    const fileLimit = this.#limits.fileBytes ?? this.#limits.unpackedBytes;
    if (size > fileLimit)
      throw tooLarge(`${sizeText(size)}, the limit is ${sizeText(fileLimit)}`, name);
    this.#bytes += size;
    if (this.#bytes > this.#limits.unpackedBytes) {
      throw tooLarge(`with it the files exceed ${sizeText(this.#limits.unpackedBytes)}`, name);
    }
    await this.#makeDirectory(dirname(added.path));
    await this.#space.claim(diskSize(size));
    return added;
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
      await this.#queue.add(() => sealDirectory(join(this.#dir, path), path === '.'));
    }
    await this.#queue.drain();
  }
}

async function writeWhole(
  path: string,
  content: string | Buffer,
  executable: boolean,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  await sealed(file, executable ? 0o555 : 0o444, () => file.writeFile(content));
}

/** @throws ZDD_ARTIFACT_DIGEST when what lies there is no longer what was unpacked */
async function copyKnown(target: string, executable: boolean, known: KnownContent): Promise<void> {
  await copyFile(known.file, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(target, 'r');
  await sealed(file, executable ? 0o555 : 0o444, async () => {
    if ((await sha256Of(target)) !== known.sha256) throw changedOnHost(known.file);
  });
}

/** Returns the sha256 of the content, hex. */
async function writeStream(
  path: string,
  entry: ArchiveEntry,
  executable: boolean,
): Promise<string> {
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

/**
 * A chmod takes away the bit by which the app's group is handed down (and to set that bit may be
 * denied to the agent), so it is for a folder whose mode is not right already.
 * @param root nobody but owner and group shall reach what is inside
 */
async function sealDirectory(path: string, root: boolean): Promise<void> {
  const dir = await open(path, 'r');
  try {
    const { mode } = await dir.stat();
    const right = (mode & 0o750) === 0o750 && (!root || (mode & 0o007) === 0);
    if (!right) await dir.chmod(root ? 0o750 : 0o755);
    await dir.sync();
  } finally {
    await dir.close();
  }
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
