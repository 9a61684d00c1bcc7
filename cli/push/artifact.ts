import { counted, bytes as sizeText } from '../render/amounts.ts';
import type { Progress } from '../render/progress.ts';
import { packFolder } from './pack.ts';
import type { Source } from './source.ts';
import { digestOf, type ToSend } from './upload.ts';

/** Bytes ready to be sent. */
export interface Artifact extends ToSend {
  /** One line for people: `1,204 files, 38.1 MB`. */
  readonly summary: string;
  /** Lets go of temporary files. */
  remove(): Promise<void>;
}

/** Packs a folder, or measures a ready archive, and shows it as the step `pack`. */
export async function prepareArtifact(
  source: Source,
  progress: Progress,
  signal: AbortSignal,
): Promise<Artifact> {
  const started = performance.now();
  const verb = source.kind === 'folder' ? 'pack' : 'check';
  progress.begin(verb, source.typed);
  const artifact =
    source.kind === 'folder' ? await packed(source.path, signal) : await ready(source, signal);
  progress.done(verb, artifact.summary, performance.now() - started);
  return artifact;
}

async function packed(folder: string, signal: AbortSignal): Promise<Artifact> {
  const made = await packFolder(folder, signal);
  const summary = `${counted(made.files, 'file')}, ${sizeText(made.contentBytes)}, packed ${sizeText(made.bytes)}`;
  return { ...made, summary };
}

async function ready(
  source: Extract<Source, { kind: 'archive' }>,
  signal: AbortSignal,
): Promise<Artifact> {
  return {
    path: source.path,
    bytes: source.bytes,
    sha256: await digestOf(source.path, signal),
    summary: `${source.typed}, ${sizeText(source.bytes)}`,
    remove: async () => {},
  };
}
