import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Beside the files in dist/: the fingerprint of what they were made of. */
const SOURCES = '.sources';
/** Folders of builds at work, each with the pid of its build. */
const WORK = /^\.build-(\d+)-/;

/** Whether all of `files` lie in dist/, made of the sources of this fingerprint. */
export async function isMade(
  dist: string,
  files: readonly string[],
  sources: string,
): Promise<boolean> {
  const made = await readFile(join(dist, SOURCES), 'utf8').catch(() => null);
  return made === sources && files.every((file) => existsSync(join(dist, file)));
}

/** A new folder to build in, on dist/'s own disk; those of killed builds are removed. */
export async function openWork(dist: string): Promise<string> {
  await mkdir(dist, { recursive: true });
  for (const name of await readdir(dist)) {
    const pid = WORK.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await removeAll(join(dist, name));
  }
  return await mkdtemp(join(dist, `.build-${process.pid}-`));
}

/**
 * Moves the finished files to dist/, where no others stay. Whoever reads there meanwhile finds whole
 * files, and no fingerprint that is not theirs.
 */
export async function publish(
  dist: string,
  work: string,
  files: readonly string[],
  sources: string,
): Promise<void> {
  await writeFile(join(work, SOURCES), sources);
  for (const name of await readdir(dist)) {
    if (!files.includes(name) && !WORK.test(name)) await removeAll(join(dist, name));
  }
  for (const name of [...files, SOURCES]) await rename(join(work, name), join(dist, name));
}

/** Nothing when it is gone. */
export async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
