import { promisify } from 'node:util';
import { constants, createGzip, type Gzip, zstdCompress } from 'node:zlib';

const compress = promisify(zstdCompress);

/** What a small release, or a part of one, is packed with: more takes longer than it saves. */
export const USUAL_LEVEL = 3;

/** By what waits to be sent, bytes: the level of zstd that makes the whole end soonest. */
const LEVELS = [
  { unsent: 8 * 1024 * 1024, level: 9 },
  { unsent: 2 * 1024 * 1024, level: USUAL_LEVEL },
] as const;

/**
 * Where packing has to wait for the connection, its time is better spent on making it less that
 * travels; where the connection waits, on being ready.
 * @param unsent what waits to be sent, bytes
 */
export function levelFor(unsent: number): number {
  return LEVELS.find((each) => unsent >= each.unsent)?.level ?? 1;
}

/** Each block as a frame of zstd, made by another thread. @param level for the next one */
export async function* zstdFrames(
  blocks: AsyncIterable<Buffer>,
  level: () => number,
): AsyncGenerator<Buffer, void> {
  for await (const block of blocks) {
    yield await compress(block, {
      // Room for what cannot be compressed.
      chunkSize: block.length + (block.length >> 7) + 1024,
      params: { [constants.ZSTD_c_compressionLevel]: level() },
    });
  }
}

/** The blocks as one gzip. */
export async function* gzipped(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const coder = createGzip({ chunkSize: 512 * 1024 });
  // Whoever reads the coder gets every error.
  writeAll(coder, blocks).catch((cause) => coder.destroy(cause));
  yield* coder;
}

async function writeAll(coder: Gzip, blocks: AsyncIterable<Buffer>): Promise<void> {
  const write = promisify<Buffer, void>(coder.write.bind(coder));
  for await (const block of blocks) await write(block);
  coder.end();
}
