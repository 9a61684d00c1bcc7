import { Header } from 'tar';
import { ByteReader } from './bytes.ts';
import { corrupt, empty, tooLarge, unknownFormat, unsafe } from './errors.ts';
import { BLOCK, openArchive } from './format.ts';
import { MAX_META_BYTES, type UnpackLimits, withinExpansion } from './limits.ts';
import { type PaxFields, parsePax, textOf } from './pax.ts';

/** One entry of an archive, in the order of the archive. */
export interface ArchiveEntry {
  /** As the archive writes it: nothing about it has been checked. */
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink';
  readonly mode: number;
  /** Content of a file in bytes, else 0. */
  readonly size: number;
  /** Where a link points, as the archive writes it. */
  readonly target: string;
  /** The content. To be read before the next entry is asked for; what is not read is skipped. */
  readonly content: AsyncGenerator<Buffer, void, undefined>;
}

const ZEROS = Buffer.alloc(BLOCK);
/** tar pads to at most 2048 blocks by itself. */
const MAX_TRAILING_BYTES = 16 * 1024 * 1024;

/**
 * Reads an artifact entry by entry, decompressed on the way, and to its very end, so that a
 * checksum that does not fit is never missed.
 *
 * Headers are decoded by the `tar` package; the walk is ours because its parser skips what it does
 * not know, looks for a second compression, and takes an archive without an end for a whole one:
 * here each of these is an error.
 * @throws ZDD_ARTIFACT_CORRUPT, ZDD_ARTIFACT_UNKNOWN_FORMAT, ZDD_ARTIFACT_EMPTY,
 * ZDD_ARTIFACT_TOO_LARGE, ZDD_ARTIFACT_UNSAFE (an entry that is no file, folder or link)
 */
export async function* readEntries(
  path: string,
  limits: UnpackLimits,
  signal: AbortSignal,
): AsyncGenerator<ArchiveEntry, void, undefined> {
  const archive = await openArchive(path, signal);
  const reader = new ByteReader(withinExpansion(archive.tar, archive.packedBytes, limits));
  try {
    let entries = 0;
    let pending: PaxFields = {};
    for (;;) {
      signal.throwIfAborted();
      const block = await reader.exactly(BLOCK, `after ${entries} entries, without an end mark`);
      if (block.equals(ZEROS)) break;
      const header = decode(block, reader.position - BLOCK, archive.format);
      const meta = metaKind(header);
      if (meta !== null) {
        pending = await readMeta(reader, header, meta, pending);
        if (meta !== 'global') continue;
      }
      entries += 1;
      if (entries > limits.entries) {
        throw tooLarge(`more than ${limits.entries} entries`, header.path);
      }
      if (meta === 'global') continue;
      const { entry, rest } = toEntry(header, pending, reader);
      pending = {};
      yield entry;
      await entry.content.return();
      await reader.skip(rest());
    }
    if (Object.keys(pending).length > 0) throw corrupt('its last header describes nothing');
    await expectEnd(reader);
    if (entries === 0) throw empty('it is a valid archive without entries');
  } finally {
    await reader.close();
  }
}

function decode(block: Buffer, at: number, format: string): Header {
  const header = tryDecode(block);
  if (header?.cksumValid) return header;
  if (at === 0) throw unknownFormat(`it is ${format} data, but there is no tar in it`);
  throw corrupt(`the header at byte ${at} of the tar is damaged`);
}

function tryDecode(block: Buffer): Header | null {
  try {
    return new Header(block);
  } catch {
    return null;
  }
}

type MetaKind = 'local' | 'global' | 'path' | 'linkpath';

function metaKind({ type }: Header): MetaKind | null {
  switch (type) {
    case 'ExtendedHeader':
      return 'local';
    case 'GlobalExtendedHeader':
      return 'global';
    case 'NextFileHasLongPath':
      return 'path';
    case 'NextFileHasLongLinkpath':
      return 'linkpath';
    default:
      return null;
  }
}

async function readMeta(
  reader: ByteReader,
  header: Header,
  kind: MetaKind,
  pending: PaxFields,
): Promise<PaxFields> {
  const size = header.size ?? 0;
  if (size > MAX_META_BYTES) throw tooLarge('its extended header is too long', header.path);
  const body = await reader.exactly(size, 'in an extended header');
  await reader.skip(padding(size));
  const fields = kind === 'path' || kind === 'linkpath' ? { [kind]: textOf(body) } : parsePax(body);
  if (kind === 'global') {
    // Programs differ in what a global name means: what they would unpack must be what we unpack.
    if (Object.keys(fields).length > 0)
      throw unsafe(header.path ?? '', 'a header that renames all');
    return pending;
  }
  const twice = Object.keys(fields).find((key) => key in pending);
  if (twice !== undefined) throw corrupt(`an entry has two headers for its ${twice}`);
  return { ...pending, ...fields };
}

function toEntry(
  header: Header,
  pending: PaxFields,
  reader: ByteReader,
): { entry: ArchiveEntry; rest: () => number } {
  const name = pending.path ?? header.path ?? '';
  const target = pending.linkpath ?? header.linkpath ?? '';
  const type = entryType(header, name);
  const size = type === 'directory' ? 0 : (pending.size ?? header.size ?? Number.NaN);
  if (!Number.isSafeInteger(size))
    throw corrupt(`the size of ${JSON.stringify(name)} is no number`);
  if (size > 0 && type !== 'file') throw corrupt(`the link ${JSON.stringify(name)} has content`);
  let left = size;
  async function* content(): AsyncGenerator<Buffer, void, undefined> {
    while (left > 0) {
      const chunk = await reader.upTo(
        left,
        `${left} bytes before the end of ${JSON.stringify(name)}`,
      );
      left -= chunk.length;
      yield chunk;
    }
  }
  return {
    entry: { name, type, mode: header.mode ?? 0, size, target, content: content() },
    rest: () => left + padding(size),
  };
}

function entryType(header: Header, name: string): ArchiveEntry['type'] {
  switch (header.type) {
    case 'File':
    case 'OldFile':
    case 'ContiguousFile':
      return 'file';
    case 'Directory':
      return 'directory';
    case 'SymbolicLink':
      return 'symlink';
    case 'Link':
      return 'hardlink';
    case 'CharacterDevice':
    case 'BlockDevice':
      throw unsafe(name, 'a device');
    case 'FIFO':
      throw unsafe(name, 'a named pipe');
    case 'SparseFile':
      throw unsafe(name, 'a sparse file: pack without --sparse');
    default:
      throw unsafe(name, `a kind of entry that the agent does not know (${header.type})`);
  }
}

async function expectEnd(reader: ByteReader): Promise<void> {
  const second = await reader.exactly(BLOCK, 'in its end mark');
  if (!second.equals(ZEROS)) throw corrupt('its end mark is damaged');
  let trailing = 0;
  for (let chunk = await reader.any(); chunk !== null; chunk = await reader.any()) {
    trailing += chunk.length;
    if (chunk.some((byte) => byte !== 0)) throw corrupt('there is data behind its end mark');
    if (trailing > MAX_TRAILING_BYTES) throw tooLarge('its padding at the end is too long');
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}
