import { constants } from 'node:fs';
import { open, readFile, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';

/**
 * Writes a file so that it is whole or not there, also after a power cut. A write that was killed
 * leaves a hidden file, which the next write of the same name replaces.
 * @param mode permission bits, whatever the umask
 * @throws ZDD_DISK_FULL
 */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  try {
    await write(path, text, mode);
  } catch (error) {
    if (!hasCode(error, 'ENOSPC') && !hasCode(error, 'EDQUOT')) throw error;
    throw new ZddError('ZDD_DISK_FULL', `${path} cannot be written: the disk is full`, {
      tries: [`df -h ${dirname(path)}`],
      cause: error,
    });
  }
}

async function write(path: string, text: string, mode: number): Promise<void> {
  const fresh = join(dirname(path), `.${basename(path)}.new`);
  await rm(fresh, { force: true });
  const file = await open(fresh, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  await syncFolder(dirname(path));
}

/** Writes a file unless it says this already. */
export async function keepWritten(path: string, text: string, mode: number): Promise<void> {
  if ((await readIfThere(path)) !== text) await writeDurably(path, text, mode);
}

/** Removes a file durably; nothing when there is none. */
export async function removeDurably(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await syncFolder(dirname(path));
}

/** The text of a file; undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
