import { hash, randomBytes } from 'node:crypto';
import { readdir, readFile, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createArtifactStore } from '../../agent/store/artifact/artifacts.ts';
import type { ArtifactStoreOptions } from '../../agent/store/artifact/kept.ts';
import { inFolder, rejection } from './archives.ts';

const BYTES = randomBytes(200_000);
const DIGEST = hash('sha256', BYTES);
const ID = 'ab'.repeat(16);
const { signal } = new AbortController();

function uploadsIn(dir: string, options: Partial<ArtifactStoreOptions> = {}) {
  return createArtifactStore({ dir, maxBytes: 1_000_000, reserveBytes: 0, ...options }).uploads;
}

const part = (from: number, to?: number) => Readable.from([BYTES.subarray(from, to)]);

/** Sends some bytes, then stays open as a connection does whose other end is gone. */
function hanging(bytes: Buffer): PassThrough {
  const stream = new PassThrough();
  stream.write(bytes);
  return stream;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('an upload', () => {
  test('that comes in pieces, before and after a restart of the daemon, is the artifact', async () => {
    await inFolder(async (dir) => {
      const first = uploadsIn(dir);
      expect(await first.offset(ID)).toBe(0);
      expect(await first.append(ID, 0, part(0, 70_001), { signal })).toBe(70_001);
      expect(await first.append(ID, 70_001, part(70_001, 70_002), { signal })).toBe(70_002);
      const later = uploadsIn(dir);
      expect(await later.offset(ID)).toBe(70_002);
      expect(await later.append(ID, 70_002, part(70_002), { signal })).toBe(BYTES.length);
      const artifact = { artifact: DIGEST, bytes: BYTES.length };
      expect(await later.finish(ID, BYTES.length, DIGEST)).toEqual({ ...artifact, reused: false });
      // The answer was lost on the way: asked again, it is the same.
      expect(await later.finish(ID, BYTES.length, DIGEST)).toEqual({ ...artifact, reused: true });
      expect(await readdir(dir)).toEqual([DIGEST]);
      expect(await readFile(join(dir, DIGEST))).toEqual(BYTES);
      expect((await stat(join(dir, DIGEST))).mode & 0o777).toBe(0o600);
    });
  });

  test('that is cut keeps what has come, and goes on there and nowhere else', async () => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir);
      const cut = Readable.from(
        (function* () {
          yield BYTES.subarray(0, 1_234);
          throw new Error('connection reset');
        })(),
      );
      expect((await rejection(uploads.append(ID, 0, cut, { signal }))).code).toBe(
        'ZDD_ARTIFACT_CORRUPT',
      );
      expect(await uploads.offset(ID)).toBe(1_234);
      for (const wrong of [0, 1_233, 1_235]) {
        const error = await rejection(uploads.append(ID, wrong, part(0), { signal }));
        expect(error.message).toBe(`the upload stands at byte 1234, not ${wrong}`);
      }
      await uploads.append(ID, 1_234, part(1_234), { signal });
      expect((await uploads.finish(ID, BYTES.length, DIGEST)).artifact).toBe(DIGEST);
    });
  });

  test('goes on over a new connection while the old one is not known to be gone', async () => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir);
      const old = rejection(uploads.append(ID, 0, hanging(BYTES.subarray(0, 50_000)), { signal }));
      const path = uploads.path(ID);
      await until(async () => (await stat(path).catch(() => null))?.size === 50_000);
      expect(await uploads.offset(ID)).toBe(50_000);
      expect((await old).evidence[0]?.[1]).toBe('the upload goes on over another connection');
      await uploads.append(ID, 50_000, part(50_000), { signal });
      expect((await uploads.finish(ID, BYTES.length, DIGEST)).artifact).toBe(DIGEST);
    });
  });

  test('whose bytes are not those announced is gone', async () => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir);
      await uploads.append(ID, 0, part(0), { signal });
      const other = hash('sha256', 'other');
      const error = await rejection(uploads.finish(ID, BYTES.length, other));
      expect(error.code).toBe('ZDD_ARTIFACT_DIGEST');
      expect(await readdir(dir)).toEqual([]);
      await uploads.append(ID, 0, part(0, 100), { signal });
      const short = await rejection(uploads.finish(ID, BYTES.length, DIGEST));
      expect(short.evidence).toEqual([['archive', `100 of ${BYTES.length} bytes came`]]);
      expect(await readdir(dir)).toEqual([]);
      const unknown = await rejection(uploads.finish(ID, BYTES.length, DIGEST));
      expect(unknown.code).toBe('ZDD_ARTIFACT_UNKNOWN');
    });
  });

  test.each<[string, number | undefined, Partial<ArtifactStoreOptions>, string]>([
    ['announced as too large', 1_000_001, {}, 'ZDD_ARTIFACT_TOO_LARGE'],
    ['that turns out too large', undefined, { maxBytes: 150_000 }, 'ZDD_ARTIFACT_TOO_LARGE'],
    ['announced for a full disk', 200_000, { freeBytes: async () => 399_999 }, 'ZDD_DISK_FULL'],
    ['on a disk that fills', undefined, { freeBytes: async () => 1_000 }, 'ZDD_DISK_FULL'],
  ])('%s is refused, and nothing of it stays', async (_, announced, options, code) => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir, options);
      const said = announced === undefined ? {} : { announced };
      const error = await rejection(uploads.append(ID, 0, part(0), { ...said, signal }));
      expect(error.code).toBe(code);
      expect(await readdir(dir)).toEqual([]);
    });
  });

  test('that is left alone is removed; one that is worked on is not', async () => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir);
      const busy = 'cd'.repeat(16);
      await uploads.append(ID, 0, part(0, 10), { signal });
      const stream = hanging(BYTES.subarray(0, 10));
      const working = uploads.append(busy, 0, stream, { signal });
      await until(async () => (await stat(uploads.path(busy)).catch(() => null))?.size === 10);
      const longAgo = new Date(Date.now() - 61 * 60_000);
      for (const id of [ID, busy]) await utimes(uploads.path(id), longAgo, longAgo);
      expect(await uploads.sweep()).toBe(1);
      expect(await readdir(dir)).toEqual([`upload-${busy}`]);
      stream.end();
      await working;
      await uploads.cancel(busy);
      expect(await readdir(dir)).toEqual([]);
    });
  });

  test('that is left alone is removed by itself, without anybody asking', async () => {
    await inFolder(async (dir) => {
      await uploadsIn(dir).append(ID, 0, part(0, 10), { signal });
      // A daemon that starts finds it, too young to go.
      expect(await uploadsIn(dir, { uploadKeptMs: 300 }).sweep()).toBe(0);
      await until(async () => (await readdir(dir)).length === 0);
    });
  });

  test('is one of at most 32', async () => {
    await inFolder(async (dir) => {
      const uploads = uploadsIn(dir);
      for (let n = 0; n < 32; n += 1) {
        await uploads.append(n.toString(16).padStart(32, '0'), 0, part(0, 1), { signal });
      }
      const error = await rejection(uploads.append(ID, 0, part(0, 1), { signal }));
      expect(error.code).toBe('ZDD_AGENT_BUSY');
      expect(await readdir(dir)).toHaveLength(32);
    });
  });
});
