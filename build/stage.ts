import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, constants, copyFile, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Made, Placed } from './layout.ts';

/** The content of what the build makes. */
export type MadeFiles = Readonly<Record<Made, string | Uint8Array>>;

/** Writes the tree below `folder`. Modes are those of the layout, whatever the umask. */
export async function stage(
  root: string,
  folder: string,
  placed: readonly Placed[],
  made: MadeFiles,
): Promise<void> {
  for (const each of placed) {
    const path = join(folder, each.to);
    await mkdir(dirname(path), { recursive: true });
    if ('link' in each) {
      await symlink(each.link, path);
      continue;
    }
    if ('made' in each) await writeFile(path, made[each.made]);
    else await copyFile(join(root, each.from), path, constants.COPYFILE_FICLONE);
    await chmod(path, each.mode);
  }
  for (const { path, kind } of await entriesOf(folder)) {
    if (kind === 'folder') await chmod(join(folder, path), 0o755);
  }
}

/** One entry of a tree, its path relative to the tree's root. */
export interface Entry {
  readonly path: string;
  readonly kind: 'folder' | 'file' | 'link';
}

/** Everything below a folder, sorted by path: a folder stands before what it holds. */
export async function entriesOf(folder: string): Promise<readonly Entry[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const entries = found.map((entry): Entry => {
    const path = relative(folder, join(entry.parentPath, entry.name));
    if (entry.isDirectory()) return { path, kind: 'folder' };
    if (entry.isSymbolicLink()) return { path, kind: 'link' };
    if (entry.isFile()) return { path, kind: 'file' };
    throw new Error(`neither file, folder nor link: ${path}`);
  });
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * The sums of all files below `folder`, as sha256sum and md5sum write and check them.
 * @param algorithm md5 is what the .deb format wants
 */
export async function sums(folder: string, algorithm: 'sha256' | 'md5'): Promise<string> {
  const files = (await entriesOf(folder)).filter(({ kind }) => kind === 'file');
  const lines = await Promise.all(
    files.map(async ({ path }) => {
      const hash = createHash(algorithm);
      await pipeline(createReadStream(join(folder, path)), hash);
      return `${hash.digest('hex')}  ${path}\n`;
    }),
  );
  return lines.join('');
}
