import { lstatSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  contentKey,
  MANIFEST_NAME,
  parseManifest,
  type ReleaseFile,
} from '../../protocol/manifest.ts';

/** A content that lies on this host. */
export interface KnownContent {
  readonly file: string;
  /** The release that has it. */
  readonly release: string;
  readonly bytes: number;
  /** Whole, by the manifest of that release. */
  readonly sha256: string;
}

/** Looking at a file takes some µs, but there may be many: others get their turn in between. */
const AT_ONCE = 500;

/**
 * Finds contents by the manifests of releases, the first of which are looked at first. What an app
 * or `shared:` has put in the place of a file does not count. Memory is bounded by what is wanted.
 * @returns by `contentKey`
 */
export async function findContents(
  wanted: readonly ReleaseFile[],
  releases: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, KnownContent>> {
  const missing = new Set(wanted.map(contentKey));
  const found = new Map<string, KnownContent>();
  for (const release of releases) {
    if (missing.size === 0) break;
    const manifest = await readFile(join(release, MANIFEST_NAME), 'utf8').catch(() => '');
    const own = ownFolders(release);
    let looked = 0;
    for (const entry of parseManifest(manifest) ?? []) {
      if (entry.type !== 'file') continue;
      const key = contentKey(entry);
      if (!missing.has(key)) continue;
      looked += 1;
      if (looked % AT_ONCE === 0) await setImmediate();
      signal.throwIfAborted();
      const file = join(release, entry.path);
      if (!own(dirname(entry.path)) || !isFile(file, entry.bytes)) continue;
      found.set(key, { file, release, bytes: entry.bytes, sha256: entry.sha256 });
      missing.delete(key);
    }
  }
  return found;
}

/** Tells whether a folder of the release is still its own, and no link to somewhere else. */
function ownFolders(release: string): (folder: string) => boolean {
  const known = new Map<string, boolean>([['.', true]]);
  const own = (folder: string): boolean => {
    const before = known.get(folder);
    if (before !== undefined) return before;
    const is =
      own(dirname(folder)) &&
      lstatSync(join(release, folder), { throwIfNoEntry: false })?.isDirectory() === true;
    known.set(folder, is);
    return is;
  };
  return own;
}

function isFile(path: string, bytes: number): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && found.size === bytes;
}
