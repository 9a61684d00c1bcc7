import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Header } from 'tar';
import xz from 'xz-decompress';
import { ZddError } from '../../protocol/errors.ts';
import { errnoOf } from '../atomic-file.ts';
import { corrupt, empty, unknownFormat } from './errors.ts';
import { ZstdFrame } from './zstd-frame.ts';

/** How an artifact is packed. */
export type ArchiveFormat = 'tar' | 'gzip' | 'zstd' | 'xz';

/** Size of a header, and the unit of everything in a tar. */
export const BLOCK = 512;

const MAGIC: ReadonlyArray<readonly [ArchiveFormat, string]> = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a585a00'],
];
/** What people push by mistake, to be told by name. */
const FOREIGN: ReadonlyArray<readonly [string, string]> = [
  ['a zip file', '504b0304'],
  ['an empty zip file', '504b0506'],
  ['a bzip2 file', '425a68'],
  ['an lz4 file', '04224d18'],
  ['a 7z file', '377abcaf271c'],
  ['a script', '2321'],
  ['a web page', '3c21'],
];

/** Tells the format by content; the name of a file says nothing. Null when it is none of ours. */
export function detectFormat(head: Buffer): ArchiveFormat | null {
  for (const [format, magic] of MAGIC) if (startsWith(head, magic)) return format;
  // pzstd begins with a skippable frame: 0x184D2A50 to 0x184D2A5F, RFC 8878 section 3.1.2.
  if (head.length >= 4 && head.readUInt32LE(0) >>> 4 === 0x184d2a5) return 'zstd';
  return isTarBlock(head) ? 'tar' : null;
}

/** A tar begins with a header whose checksum fits, or with the zeros that end an empty one. */
export function isTarBlock(head: Buffer): boolean {
  if (head.length < BLOCK) return head.subarray(257, 262).toString('latin1') === 'ustar';
  try {
    const header = new Header(head.subarray(0, BLOCK));
    return header.cksumValid || header.nullBlock;
  } catch {
    return false;
  }
}

/** An artifact on disk, its format known. */
export interface OpenedArchive {
  readonly format: ArchiveFormat;
  /** Size as packed. */
  readonly packedBytes: number;
  /** The tar in it, decompressed. Throws ZDD_ARTIFACT_CORRUPT when the bytes are damaged. */
  readonly tar: AsyncGenerator<Buffer, void, undefined>;
}

/**
 * Opens an artifact. An abort rejects the reading with the signal's reason.
 * @throws ZDD_ARTIFACT_UNKNOWN, ZDD_ARTIFACT_EMPTY, ZDD_ARTIFACT_UNKNOWN_FORMAT
 */
export async function openArchive(path: string, signal: AbortSignal): Promise<OpenedArchive> {
  const { head, size } = await readHead(path);
  if (size === 0) throw empty('it has no bytes at all');
  const format = detectFormat(head);
  if (format === null) throw unknownFormat(describe(head));
  return {
    format,
    packedBytes: size,
    tar: translated(format, decoded(path, format, signal), signal),
  };
}

async function readHead(path: string): Promise<{ head: Buffer; size: number }> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(BLOCK), 0, BLOCK, 0);
      return { head: buffer.subarray(0, bytesRead), size };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new ZddError('ZDD_ARTIFACT_UNKNOWN', 'the artifact is no longer on the host', {
      tries: ['zdd-agent push'],
      cause: error,
    });
  }
}

async function* translated(
  format: ArchiveFormat,
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* chunks;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ZddError || isSystemError(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const xzError = format === 'xz' ? /error code ([46])$/.exec(why)?.[1] : undefined;
    if (xzError === '4') throw unknownFormat('its xz dictionary is larger than 64 MiB', error);
    if (xzError === '6') {
      throw unknownFormat('its xz filter or check is not supported: use plain xz', error);
    }
    throw corrupt(
      format === 'xz' ? 'its xz data ends early or is damaged' : `${format}: ${why}`,
      error,
    );
  }
}

async function* decoded(
  path: string,
  format: ArchiveFormat,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  switch (format) {
    case 'tar':
      yield* createReadStream(path, { signal });
      return;
    case 'gzip':
      yield* through(createReadStream(path, { signal }), createGunzip());
      return;
    case 'zstd':
      yield* zstdFrames(path, signal);
      return;
    case 'xz':
      yield* xzStream(path, signal);
      return;
  }
}

/** One decoder for each frame, which is given that frame and nothing of the next. */
async function* zstdFrames(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const source = createReadStream(path, { signal });
  try {
    const chunks: AsyncIterator<Buffer> = source[Symbol.asyncIterator]();
    let rest = await nextOf(chunks);
    const frame = async function* (): AsyncGenerator<Buffer> {
      const end = new ZstdFrame();
      for (; rest !== null; rest = await nextOf(chunks)) {
        const taken = end.take(rest);
        if (taken > 0) yield rest.subarray(0, taken);
        if (!end.ended) continue;
        rest = taken < rest.length ? rest.subarray(taken) : await nextOf(chunks);
        return;
      }
    };
    while (rest !== null) yield* through(Readable.from(frame()), createZstdDecompress());
  } finally {
    source.destroy();
  }
}

async function nextOf(chunks: AsyncIterator<Buffer>): Promise<Buffer | null> {
  const next = await chunks.next();
  return next.done ? null : next.value;
}

/** Ends of earlier xz readings. The decoder lets one stream at a time pass, and is left locked by
 * one that is cancelled while it waits: so ours wait out here. */
let xzTurn: Promise<void> = Promise.resolve();

async function* xzStream(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const turn = Promise.withResolvers<void>();
  const earlier = xzTurn;
  xzTurn = earlier.then(() => turn.promise);
  await earlier;
  try {
    signal.throwIfAborted();
    const source = createReadStream(path, { signal });
    const reader = new xz.XzReadableStream(Readable.toWeb(source)).getReader();
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        const { buffer, byteOffset, byteLength } = next.value;
        if (byteLength > 0) yield Buffer.from(buffer, byteOffset, byteLength);
      }
    } finally {
      // It throws when the decoder has read ahead to the end, and so has let go of everything before.
      await reader.cancel().catch(() => undefined);
      source.destroy();
    }
  } finally {
    turn.resolve();
  }
}

async function* through(source: Readable, decoder: Transform): AsyncGenerator<Buffer> {
  // The iterator of `decoder` reports every error; the callback only keeps it from being thrown twice.
  pipeline(source, decoder, () => undefined);
  try {
    yield* decoder;
  } finally {
    source.destroy();
    decoder.destroy();
  }
}

function startsWith(head: Buffer, magic: string): boolean {
  return head.subarray(0, magic.length / 2).toString('hex') === magic;
}

function describe(head: Buffer): string {
  const foreign = FOREIGN.find(([, magic]) => startsWith(head, magic));
  const bytes = `it begins with ${head.subarray(0, 8).toString('hex')}`;
  return foreign === undefined ? bytes : `it looks like ${foreign[0]}; ${bytes}`;
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
