import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openArchive } from '../../agent/store/artifact/format.ts';
import { ZstdFrame } from '../../agent/store/artifact/zstd-frame.ts';
import { temporaryFolder } from '../cli/run-cli.ts';

const { signal } = new AbortController();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => folder.remove());

/** Compresses to about a half, and to blocks of several kinds. */
function content(bytes: number, seed: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let at = 0, state = seed + 1; at < bytes; at += 1) {
    state = (state * 48_271) % 2_147_483_647;
    buffer[at] = at % 4_096 < 1_024 ? 0 : (state >> 8) & 0x1f;
  }
  return buffer;
}

test('the end of a frame is found, however its bytes come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(300_000), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 70_000 }),
      (sizes, checksum, piece) => {
        const params = { [constants.ZSTD_c_checksumFlag]: Number(checksum) };
        const frames = sizes.map((size, seed) => zstdCompressSync(content(size, seed), { params }));
        const all = Buffer.concat(frames);
        let at = 0;
        for (const { length } of frames) {
          const begin = at;
          const frame = new ZstdFrame();
          while (!frame.ended) at += frame.take(all.subarray(at, at + piece));
          expect(at - begin).toBe(length);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('frames one behind the other are read whole, however slowly: skippable ones and those of others too', async () => {
  const [first, second, third] = [content(500_000, 1), content(900_000, 2), content(70_000, 3)];
  const skippable = Buffer.concat([Buffer.from('502a4d1803000000', 'hex'), Buffer.from('abc')]);
  const byTool = (bytes: Buffer): Buffer => execFileSync('zstd', ['-c', '-T2'], { input: bytes });
  const path = join(folder.path, 'three.tar.zst');
  await writeFile(
    path,
    Buffer.concat([zstdCompressSync(first), skippable, byTool(second), zstdCompressSync(third)]),
  );
  const parts: Buffer[] = [];
  for await (const chunk of (await openArchive(path, signal)).tar) {
    parts.push(chunk);
    // What is decoded waits meanwhile: Node's decoder went wrong at the end of a frame then.
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
  }
  expect(hash('sha256', Buffer.concat(parts))).toBe(
    hash('sha256', Buffer.concat([first, second, third])),
  );
});

test.each([
  ['what is no frame behind a frame', (whole: Buffer) => Buffer.concat([whole, Buffer.alloc(100)])],
  ['a frame that is cut', (whole: Buffer) => whole.subarray(0, whole.length - 7)],
  [
    'the beginning of a frame behind a frame',
    (whole: Buffer) => Buffer.concat([whole, whole.subarray(0, 3)]),
  ],
])('%s is refused', async (_, spoil) => {
  const path = join(folder.path, 'spoilt.tar.zst');
  await writeFile(path, spoil(zstdCompressSync(content(200_000, 4))));
  const reading = async (): Promise<void> => {
    for await (const _chunk of (await openArchive(path, signal)).tar);
  };
  await expect(reading()).rejects.toMatchObject({ code: 'ZDD_ARTIFACT_CORRUPT' });
});
