import { randomBytes } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readEntries } from '../artifact/entries.ts';
import { diskFullOr } from '../artifact/errors.ts';
import { freeBytesOf, SpaceGuard, type UnpackLimits } from '../artifact/limits.ts';
import { namesIn, removeTree, renameDurably } from '../atomic-file.ts';
import { verifyRelease } from './manifest.ts';
import { completeFrom, expectDigest, type Outline, takeOutline } from './outline.ts';
import { type UnpackedRelease, Unpacking } from './unpacking.ts';
import { WorkQueue } from './work.ts';

export { inspectRelease, verifyRelease } from './manifest.ts';
export { readOutline } from './outline.ts';
export { linkShared, type SharedLink } from './shared.ts';
export type { UnpackedRelease } from './unpacking.ts';

const PARALLEL_FILES = 8;

/**
 * Unpacks an artifact into `stagingDir`, which is made for it; what an earlier attempt left there is
 * removed. Files end as 0444 or 0555, the release itself as 0750, its folders readable for all who get
 * that far; all of them synced, all of the group of `stagingDir` when that is setgid. When it fails or is
 * aborted, `stagingDir` is gone; when the process is killed, `stagingDir` and names that begin with
 * it are all that is left.
 * An artifact that begins with the outline of a release is a part of it: the rest is copied from the
 * releases in `sources`, and the whole must come to the digest of the outline.
 * @throws ZDD_ARTIFACT_*, ZDD_CONFIG_MISSING, ZDD_DISK_FULL, or the signal's reason
 */
export async function unpackArtifact(
  artifactPath: string,
  stagingDir: string,
  limits: UnpackLimits,
  signal: AbortSignal,
  {
    freeBytes = freeBytesOf,
    sources = [],
  }: {
    readonly freeBytes?: (dir: string) => Promise<number>;
    /** Folders of releases on this host. */
    readonly sources?: readonly string[];
  } = {},
): Promise<UnpackedRelease> {
  signal.throwIfAborted();
  await discard(stagingDir);
  await mkdir(dirname(stagingDir), { recursive: true, mode: 0o750 });
  const queue = new WorkQueue(PARALLEL_FILES);
  try {
    await mkdir(stagingDir, { mode: 0o750 });
    const space = new SpaceGuard(stagingDir, limits.reserveBytes, freeBytes);
    const unpacking = new Unpacking(stagingDir, limits, queue, space);
    let outline: Outline | null = null;
    const sent = new Set<string>();
    for await (const entry of readEntries(artifactPath, limits, signal)) {
      if (sent.size === 0 && outline === null) {
        outline = await takeOutline(entry);
        if (outline !== null) continue;
      }
      await unpacking.take(entry);
      sent.add(entry.name);
    }
    if (outline === null) return await unpacking.finish(signal);
    await completeFrom(outline, sent, sources, unpacking, signal);
    return expectDigest(await unpacking.finish(signal), outline);
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
  await mkdir(releasesDir, { recursive: true, mode: 0o750 });
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
