import { ZddError } from '../../protocol/errors.ts';
import {
  contentKey,
  MANIFEST_NAME,
  type Outline,
  parseOutline,
  type ReleaseFile,
} from '../../protocol/manifest.ts';
import { type ArchiveEntry, readEntries } from '../artifact/entries.ts';
import { reserved, sizeText, tooLarge, unsafe } from '../artifact/errors.ts';
import type { UnpackLimits } from '../artifact/limits.ts';
import { findContents } from './contents.ts';
import { ReleaseTree } from './tree.ts';
import type { UnpackedRelease, Unpacking } from './unpacking.ts';

export type { Outline } from '../../protocol/manifest.ts';

/** Enough for the 200,000 entries that a release may have, with long paths. */
const MAX_OUTLINE_BYTES = 32 * 1024 * 1024;

/** Null when the entry is none, so that its archive is a whole one. @throws ZDD_ARTIFACT_* */
export async function takeOutline(entry: ArchiveEntry): Promise<Outline | null> {
  if (entry.type !== 'file' || entry.name !== MANIFEST_NAME) return null;
  if (entry.size > MAX_OUTLINE_BYTES) {
    throw tooLarge(
      `${sizeText(entry.size)}, the limit is ${sizeText(MAX_OUTLINE_BYTES)}`,
      entry.name,
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of entry.content) chunks.push(chunk);
  const outline = parseOutline(Buffer.concat(chunks).toString('utf8'));
  if (outline === null) throw reserved();
  return outline;
}

/**
 * Reads the outline at the beginning of an artifact, of which no more need be there, and holds it
 * against every rule for names, links and limits.
 * @throws ZDD_ARTIFACT_*, ZDD_CONFIG_MISSING
 */
export async function readOutline(
  artifactPath: string,
  limits: UnpackLimits,
  signal: AbortSignal,
): Promise<Outline> {
  for await (const entry of readEntries(artifactPath, limits, signal)) {
    const outline = await takeOutline(entry);
    if (outline === null) break;
    check(outline, limits);
    return outline;
  }
  throw unsafe(MANIFEST_NAME, 'what was announced is no outline of a release');
}

/**
 * Takes from `sources` what an outline names and the archive has not.
 * @param sent names of the files in the archive
 * @throws ZDD_ARTIFACT_UNKNOWN when a content is not there, ZDD_ARTIFACT_*
 */
export async function completeFrom(
  outline: Outline,
  sent: ReadonlySet<string>,
  sources: readonly string[],
  unpacking: Unpacking,
  signal: AbortSignal,
): Promise<void> {
  const known = await findContents(lackingIn(sent, outline), sources, signal);
  for (const entry of outline.entries) {
    signal.throwIfAborted();
    switch (entry.type) {
      case 'directory':
        await unpacking.takeDirectory(entry.path);
        break;
      case 'symlink':
        unpacking.takeSymlink(entry.path, entry.target);
        break;
      case 'file': {
        if (sent.has(entry.path)) break;
        const content = known.get(contentKey(entry));
        if (content === undefined) throw gone(entry.path);
        await unpacking.takeKnown(entry.path, entry.executable, content);
        break;
      }
    }
  }
}

/** @throws ZDD_ARTIFACT_DIGEST unless the release is what its outline announced */
export function expectDigest(release: UnpackedRelease, { digest }: Outline): UnpackedRelease {
  if (release.digest === digest) return release;
  throw new ZddError('ZDD_ARTIFACT_DIGEST', 'the release is not the one that was announced', {
    evidence: [
      ['announced', digest],
      ['unpacked', release.digest],
    ],
    tries: ['zdd-agent push --whole'],
  });
}

function lackingIn(sent: ReadonlySet<string>, { entries }: Outline): ReleaseFile[] {
  return entries.filter((entry) => entry.type === 'file').filter(({ path }) => !sent.has(path));
}

function check({ entries }: Outline, limits: UnpackLimits): void {
  if (entries.length > limits.entries) throw tooLarge(`more than ${limits.entries} entries`);
  const tree = new ReleaseTree();
  const fileLimit = limits.fileBytes ?? limits.unpackedBytes;
  let bytes = 0;
  for (const entry of entries) {
    switch (entry.type) {
      case 'directory':
        tree.addDirectory(entry.path);
        break;
      case 'symlink':
        tree.addSymlink(entry.path, entry.target);
        break;
      case 'file':
        tree.addFile(entry.path);
        bytes += entry.bytes;
        if (entry.bytes > fileLimit || bytes > limits.unpackedBytes) {
          throw tooLarge(`with it the files exceed ${sizeText(limits.unpackedBytes)}`, entry.path);
        }
        break;
    }
  }
  if (tree.settle() !== '') throw unsafe(MANIFEST_NAME, 'zdd.yaml does not lie at its root');
}

function gone(path: string): ZddError {
  return new ZddError('ZDD_ARTIFACT_UNKNOWN', 'a content that was counted on is no longer here', {
    evidence: [['file', path]],
    tries: ['zdd-agent push'],
  });
}
