import { Header, Pax } from 'tar';
import type { ReleaseEntry, ReleaseFile } from '../../../agent/protocol/manifest.ts';
import { checkedContent, type Tree } from '../source/tree.ts';

const BLOCK = 512;
const ZEROS = Buffer.alloc(BLOCK);

/** 2001-09-09, in seconds: long ago, so that no clock finds a file from the future. */
const EPOCH_S = 1_000_000_000;

/**
 * The entries of a tar, without its end. The same contents give the same bytes wherever and whenever
 * they are packed: no owners, no times of this machine, no hard links.
 * @throws ZDD_ARTIFACT_UNSAFE when a file is not what its entry says any more
 */
export async function* tarEntries(
  tree: Tree,
  entries: Iterable<ReleaseEntry>,
): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    yield headerOf(entry);
    if (entry.type !== 'file') continue;
    yield* checkedContent(tree, entry);
    yield padding(entry.bytes);
  }
}

/** Ends a tar. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

/** A whole file of a tar, in pieces. */
export function tarWhole(file: ReleaseFile, content: Buffer): Buffer[] {
  return [headerOf(file), content, padding(content.length)];
}

/** A whole file of a tar, made of its text. */
export function tarFile(path: string, text: string): Buffer {
  const content = Buffer.from(text);
  const file = { type: 'file', path, executable: false, sha256: '' } as const;
  return Buffer.concat(tarWhole({ ...file, bytes: content.length }, content));
}

function headerOf(entry: ReleaseEntry): Buffer {
  const fields = { ...fieldsOf(entry), uid: 0, gid: 0, mtime: timeOf(entry) };
  const header = new Header(fields);
  header.encode();
  const block = header.block ?? Buffer.alloc(BLOCK);
  // A name that is too long for the header, or not ASCII, or a file of more than 8 GiB.
  if (!header.needPax) return block;
  const { path, size } = fields;
  const linkpath = 'linkpath' in fields ? { linkpath: fields.linkpath } : {};
  return Buffer.concat([new Pax({ path, size, ...linkpath }).encode(), block]);
}

function fieldsOf(entry: ReleaseEntry) {
  switch (entry.type) {
    case 'directory':
      return { type: 'Directory', path: `${entry.path}/`, mode: 0o755, size: 0 } as const;
    case 'symlink':
      return {
        type: 'SymbolicLink',
        path: entry.path,
        linkpath: entry.target,
        mode: 0o777,
        size: 0,
      } as const;
    case 'file': {
      const { path, bytes, executable } = entry;
      return { type: 'File', path, mode: executable ? 0o755 : 0o644, size: bytes } as const;
    }
  }
}

/**
 * The time a file gets: made from its contents. Web servers build their ETag from time and size; one
 * fixed time for all would let a browser keep the old one of two files of the same size.
 */
function timeOf(entry: ReleaseEntry): Date {
  const offset = entry.type === 'file' ? Number.parseInt(entry.sha256.slice(0, 7) || '0', 16) : 0;
  return new Date((EPOCH_S + offset) * 1_000);
}

function padding(bytes: number): Buffer {
  return ZEROS.subarray(0, (BLOCK - (bytes % BLOCK)) % BLOCK);
}
