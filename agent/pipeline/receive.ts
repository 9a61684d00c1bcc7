import { ZddError } from '../protocol/errors.ts';
import { contentKey, type ReleaseFile } from '../protocol/manifest.ts';
import type { FinishRequest } from '../protocol/uploads.ts';
import type { ReceivedArtifact } from '../store/artifact/kept.ts';
import { findContents } from '../store/release-folder/contents.ts';
import { readOutline } from '../store/release-folder/release-folder.ts';
import type { Host } from './host.ts';

/** Places among the files of an outline: from and to, both included. */
export type Range = [from: number, to: number];

/** How long a release that an upload counts on is kept for it at the most, ms. */
const COUNTED_ON_MS = 60 * 60_000;

/**
 * Which files of an upload have contents that no release of the app has. The outline must be all
 * that has come so far; with one that is refused, the upload goes.
 * @throws ZDD_ARTIFACT_*, ZDD_CONFIG_MISSING, ZDD_DISK_FULL
 */
export async function lackingFiles(
  host: Host,
  app: string,
  id: string,
  signal: AbortSignal,
): Promise<Range[]> {
  const { uploads } = host.artifacts;
  try {
    const { entries } = await readOutline(uploads.path(id), host.limits, signal);
    const files = entries.filter((entry) => entry.type === 'file');
    const known = await findContents(files, sourcesOf(host, app), signal);
    const releases = new Set([...known.values()].map(({ release }) => release));
    host.countedOn.set(id, { releases, until: host.now() + COUNTED_ON_MS });
    const lacking = files.map((file) => !known.has(contentKey(file)));
    const coming = bytesOf(files.filter((_, at) => lacking[at]));
    await host.artifacts.requireSpace(coming, bytesOf(files));
    return rangesOf(lacking);
  } catch (error) {
    if (error instanceof ZddError) await uploads.cancel(id);
    throw error;
  }
}

/** The folders of an app's releases, the newest first. */
export function sourcesOf(host: Host, app: string): string[] {
  return host.releases.list(app).map(({ release }) => host.layout.release(app, release));
}

/** Makes an upload an artifact, which counts on what the upload counted on. @throws as `finish` */
export async function finishUpload(
  host: Host,
  id: string,
  { bytes, sha256 }: FinishRequest,
): Promise<ReceivedArtifact> {
  const received = await host.artifacts.uploads.finish(id, bytes, sha256);
  const counted = host.countedOn.get(id);
  if (counted !== undefined) host.countedOn.set(received.artifact, counted);
  host.countedOn.delete(id);
  return received;
}

/** Whether an upload, or an artifact that is not unpacked yet, counts on contents of this release. */
export function isCountedOn(host: Host, app: string, release: string): boolean {
  const folder = host.layout.release(app, release);
  for (const [what, { releases, until }] of host.countedOn) {
    if (until <= host.now()) host.countedOn.delete(what);
    else if (releases.has(folder)) return true;
  }
  return false;
}

function bytesOf(files: readonly ReleaseFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function rangesOf(flags: readonly boolean[]): Range[] {
  const ranges: Range[] = [];
  for (const [at, flag] of flags.entries()) {
    if (!flag) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === at - 1) last[1] = at;
    else ranges.push([at, at]);
  }
  return ranges;
}
