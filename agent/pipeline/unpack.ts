import { join } from 'node:path';
import { ZddError } from '../protocol/errors.ts';
import { removeTree } from '../store/atomic-file.ts';
import {
  commitRelease,
  linkShared,
  unpackArtifact,
  verifyRelease,
} from '../store/release-folder/release-folder.ts';
import type { Host, Task } from './host.ts';
import { prepareApp } from './instances.ts';
import { sourcesOf } from './receive.ts';
import { effectiveConfig } from './wishes/overrides.ts';

/** What became of an artifact. */
export interface Unpacked {
  readonly release: string;
  /** The host had this content already: no second copy was made. */
  readonly reused: boolean;
  readonly files: number;
  readonly bytes: number;
  readonly hasReleaseCommand: boolean;
  /** The file of this host that has changed its configuration. */
  readonly overriddenBy: string | null;
}

/**
 * Turns an artifact into an immutable release folder. The release gets its name from its content:
 * the same content, however packed, is the same release.
 */
export async function unpack(
  host: Host,
  task: Task,
  artifact: string,
  source: string,
): Promise<Unpacked> {
  const { app, deployment, signal } = task;
  if (!host.artifacts.has(artifact)) {
    throw new ZddError('ZDD_ARTIFACT_UNKNOWN', 'the artifact is no longer on the host', {
      tries: ['zdd-agent push'],
    });
  }
  const path = host.artifacts.path(artifact);
  const { text, config, overriddenBy } = await effectiveConfig(host, path);
  await prepareApp(host, app, config, signal);
  const staging = join(host.layout.staging(app), `d${deployment}`);
  await removeTree(staging);
  const content = await unpackArtifact(path, staging, host.limits, signal, {
    sources: sourcesOf(host, app),
  });
  host.countedOn.delete(artifact);
  const known = host.releases.findByDigest(app, content.digest);
  const summary = {
    files: content.files,
    bytes: content.bytes,
    hasReleaseCommand: config.release !== undefined,
    overriddenBy,
  };
  if (
    known !== null &&
    (await verifyRelease(host.layout.release(app, known.release), known.digest))
  ) {
    await removeTree(staging);
    // The same content may be deployed with other overrides of this host.
    host.releases.reconfigure(app, known.release, text);
    return { ...summary, release: known.release, reused: true };
  }
  const name =
    known === null
      ? host.releases.nextName(app, content.digest)
      : { release: known.release, number: known.number };
  await linkShared(staging, host.layout.shared(app), config.shared);
  await commitRelease(staging, host.layout.releases(app), name.release);
  host.releases.add({
    app,
    ...name,
    digest: content.digest,
    bytes: content.bytes,
    files: content.files,
    createdAt: host.now(),
    source,
    config: text,
  });
  return { ...summary, release: name.release, reused: false };
}
