import { createHash, hash } from 'node:crypto';
import { createReadStream, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ZddError } from '../../../agent/protocol/errors.ts';
import {
  manifestOf,
  type ReleaseEntry,
  type ReleaseFile,
} from '../../../agent/protocol/manifest.ts';
import { reasonOf } from './source.ts';

/** What travels: a folder, or the tree of a commit. */
export interface Tree {
  /** By path. */
  readonly entries: readonly ReleaseEntry[];
  /** Reads a file. Whether it is still what its entry says is for the reader to find out. */
  open(file: ReleaseFile): AsyncIterable<Buffer>;
  /** Lets go of what reading it needs. */
  close(): Promise<void>;
}

/** Above this a file is read in pieces, bytes. */
export const AT_ONCE = 1024 * 1024;

export function filesOf({ entries }: Pick<Tree, 'entries'>): ReleaseFile[] {
  return entries.filter((entry) => entry.type === 'file');
}

export function bytesOf(files: readonly ReleaseFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The digest that the agent will come to when it has unpacked the whole, hex. */
export function digestOfTree({ entries }: Pick<Tree, 'entries'>): string {
  return hash('sha256', manifestOf(entries));
}

/** A folder whose entries have been looked at. */
export function folderTree(root: string, entries: readonly ReleaseEntry[]): Tree {
  return {
    entries,
    async *open({ path, bytes }) {
      const at = join(root, path);
      // A file that was looked at may have become a pipe, on which reading would wait for ever.
      if (!lstatSync(at).isFile()) throw changed(path, 'it is no file any more');
      if (bytes <= AT_ONCE) yield readFileSync(at);
      else yield* createReadStream(at);
    },
    close: async () => {},
  };
}

/**
 * The content of a file, as its entry says.
 * @throws ZDD_ARTIFACT_UNSAFE when it has become another since it was looked at
 */
export async function* checkedContent(tree: Tree, file: ReleaseFile): AsyncGenerator<Buffer> {
  const digest = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of tree.open(file)) {
      bytes += chunk.length;
      // Not a byte more than the header says: what follows would be read as another header.
      if (bytes > file.bytes) throw changed(file.path, 'it has grown');
      digest.update(chunk);
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof ZddError || !isSystemError(cause)) throw cause;
    throw changed(file.path, reasonOf(cause), cause);
  }
  if (digest.digest('hex') !== file.sha256) throw changed(file.path, 'it has other content now');
}

function isSystemError(cause: unknown): boolean {
  return cause instanceof Error && 'syscall' in cause;
}

function changed(path: string, why: string, cause?: unknown): ZddError {
  return new ZddError('ZDD_ARTIFACT_UNSAFE', 'the folder changed while it was packed', {
    evidence: [[path, why]],
    traffic: 'untouched: nothing was started',
    tries: ['zdd-agent push'],
    cause,
  });
}
