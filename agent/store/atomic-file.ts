import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, lstat, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const TEMPORARY = /^\.zdd-[0-9a-f]{12}\.tmp$/;

/** The name of a temporary file in `dir`: hidden, unique, and known to `sweepTemporaryFiles`. */
export function temporaryPath(dir: string): string {
  return join(dir, `.zdd-${randomBytes(6).toString('hex')}.tmp`);
}

/**
 * Replaces a file so that a reader, or a machine that loses power, sees the old content or the new
 * one, never a part: temporary file in the same folder, fsync, rename, fsync of the folder.
 * @param options.mode permission bits of the new file, whatever the umask; 0600 unless given.
 */
export async function writeFileAtomic(
  path: string,
  bytes: string | Uint8Array,
  options: { readonly mode?: number } = {},
): Promise<void> {
  const mode = options.mode ?? 0o600;
  const temporary = temporaryPath(dirname(path));
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await fsyncDir(dirname(path));
}

/** Makes the names in a folder durable: a rename or unlink is not, until its folder is synced. */
export async function fsyncDir(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await dir.sync();
  } catch (error) {
    // Some network and FUSE file systems have no fsync for folders; there is nothing better to do.
    if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'ENOTSUP') throw error;
  } finally {
    await dir.close();
  }
}

/** Renames on one file system and makes it durable in both folders. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await fsyncDir(dirname(to));
  if (dirname(from) !== dirname(to)) await fsyncDir(dirname(from));
}

/**
 * Removes a file or a folder with all it holds; follows no link, and does nothing when it is gone.
 * Opens up read-only folders on the way, as an ordinary user has to.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EACCES' && errno !== 'EPERM') throw error;
    await openUp(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Removes what a killed `writeFileAtomic` or upload left in `dir`. Returns how many files. */
export async function sweepTemporaryFiles(
  dir: string,
  inUse: ReadonlySet<string> = new Set(),
): Promise<number> {
  const dead = (await namesIn(dir)).filter(
    (name) => TEMPORARY.test(name) && !inUse.has(join(dir, name)),
  );
  for (const name of dead) await unlink(join(dir, name));
  if (dead.length > 0) await fsyncDir(dir);
  return dead.length;
}

/** The names in a folder; none when there is no such folder. */
export async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The errno name of a failed system call, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

async function openUp(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (!found?.isDirectory()) return;
  await chmod(path, 0o700);
  for (const name of await readdir(path)) await openUp(join(path, basename(name)));
}
