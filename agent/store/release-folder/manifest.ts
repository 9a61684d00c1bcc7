import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readFile, readlink } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { MANIFEST_NAME, parseManifest, type ReleaseEntry } from '../../protocol/manifest.ts';
import { errnoOf } from '../atomic-file.ts';

/** What is not as it was unpacked. */
export interface ReleaseDifference {
  readonly path: string;
  /** For people: `is missing`, `has other content`. */
  readonly what: string;
}

/**
 * Whether a release still is what was unpacked: every file, folder and link of the manifest is there
 * with its content. What an app has put beside them does not count, nor do paths that were replaced
 * by links to shared ones.
 * @param digest when given, the release must have this digest
 */
export async function verifyRelease(releaseDir: string, digest?: string): Promise<boolean> {
  return (await inspectRelease(releaseDir, digest)).length === 0;
}

/** Everything that `verifyRelease` would object to. Reads the whole release. */
export async function inspectRelease(
  releaseDir: string,
  digest?: string,
): Promise<readonly ReleaseDifference[]> {
  const manifest = await readFile(join(releaseDir, MANIFEST_NAME), 'utf8').catch(
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
      throw error;
    },
  );
  if (manifest === null) return [{ path: MANIFEST_NAME, what: 'is missing' }];
  if (digest !== undefined && hash('sha256', manifest) !== digest) {
    return [{ path: MANIFEST_NAME, what: 'has other content' }];
  }
  const entries = parseManifest(manifest);
  if (entries === null) return [{ path: MANIFEST_NAME, what: 'is damaged' }];
  const differences: ReleaseDifference[] = [];
  const shared = new Set<string>();
  for (const entry of entries) {
    const { path } = entry;
    if (shared.has(dirname(path))) {
      shared.add(path);
      continue;
    }
    const found = await look(releaseDir, entry);
    if (found === 'shared') shared.add(path);
    else if (found !== null) differences.push({ path, what: found });
  }
  return differences;
}

async function look(releaseDir: string, entry: ReleaseEntry): Promise<string | null> {
  const path = join(releaseDir, entry.path);
  const found = await lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    throw error;
  });
  if (found === null) return 'is missing';
  if (found.isSymbolicLink()) {
    const target = await readlink(path);
    // No archive may hold an absolute link, so this one was made by `linkShared`.
    if (isAbsolute(target)) return 'shared';
    if (entry.type !== 'symlink') return `is a link, not a ${entry.type}`;
    return target === entry.target ? null : 'points elsewhere';
  }
  if (entry.type === 'symlink') return 'is no link';
  if (entry.type === 'directory') return found.isDirectory() ? null : 'is no directory';
  if (!found.isFile()) return 'is no file';
  if (((found.mode & 0o111) !== 0) !== entry.executable) return 'has another executable bit';
  if (found.size !== entry.bytes) return 'has another size';
  return (await sha256Of(path)) === entry.sha256 ? null : 'has other content';
}

/** sha256 of a file's content, hex. */
export async function sha256Of(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) digest.update(chunk);
  return digest.digest('hex');
}
