import { corrupt } from './errors.ts';

/** RFC 8878, 3.1.1 and 3.1.2. */
const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const RLE_BLOCK = 1;
/** Bytes of the dictionary's number and of the content's size, by their flags. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const SIZE_BYTES = [0, 2, 4, 8] as const;

/** What comes next in a frame: bytes that say how it goes on, or bytes that are passed over. */
type Piece = { readonly read: number } | { readonly skip: number };

/**
 * Finds the end of one zstd frame in chunks as they come. Node's decoder has to be given one frame at a
 * time: where the next one begins within a chunk it ends, or fails, by how fast its output is taken.
 */
export class ZstdFrame {
  readonly #pieces = piecesOfFrame();
  #piece: IteratorResult<Piece, void> = this.#pieces.next();
  #read: Buffer = Buffer.alloc(0);
  #skipped = 0;

  get ended(): boolean {
    return this.#piece.done === true;
  }

  /** @returns how many bytes of the chunk belong to the frame @throws ZDD_ARTIFACT_CORRUPT */
  take(chunk: Buffer): number {
    let at = 0;
    while (!this.#piece.done) {
      const piece = this.#piece.value;
      if ('skip' in piece) {
        const step = Math.min(piece.skip - this.#skipped, chunk.length - at);
        at += step;
        this.#skipped += step;
        if (this.#skipped < piece.skip) break;
      } else {
        const more = chunk.subarray(at, at + piece.read - this.#read.length);
        at += more.length;
        this.#read = Buffer.concat([this.#read, more]);
        if (this.#read.length < piece.read) break;
      }
      const read = this.#read;
      this.#read = Buffer.alloc(0);
      this.#skipped = 0;
      this.#piece = this.#pieces.next(read);
    }
    return at;
  }
}

function* piecesOfFrame(): Generator<Piece, void, Buffer> {
  const magic = (yield { read: 4 }).readUInt32LE();
  if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
    yield { skip: (yield { read: 4 }).readUInt32LE() };
    return;
  }
  if (magic !== MAGIC) throw corrupt('zstd: something that is no frame follows a frame');
  const descriptor = (yield { read: 1 }).readUInt8();
  yield { skip: headerRest(descriptor) };
  for (let isLast = false; !isLast; ) {
    const header = (yield { read: 3 }).readUIntLE(0, 3);
    isLast = (header & 1) === 1;
    yield { skip: ((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3 };
  }
  const hasChecksum = (descriptor & 4) !== 0;
  yield { skip: hasChecksum ? 4 : 0 };
}

/** Bytes of the frame's header after its descriptor. */
function headerRest(descriptor: number): number {
  const isSingle = (descriptor & 0x20) !== 0;
  const dictionary = DICTIONARY_BYTES[descriptor & 3] ?? 0;
  const size = SIZE_BYTES[descriptor >> 6] ?? 0;
  return (isSingle ? 0 : 1) + dictionary + (size === 0 && isSingle ? 1 : size);
}
