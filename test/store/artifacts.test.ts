import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { lstat, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { ZddError } from '../../agent/protocol/errors.ts';
import { createArtifactStore } from '../../agent/store/artifact/artifacts.ts';
import type { ArtifactStoreOptions } from '../../agent/store/artifact/kept.ts';
import { inFolder, rejection } from './archives.ts';

const BYTES = randomBytes(300_000);
const DIGEST = createHash('sha256').update(BYTES).digest('hex');
const never = new AbortController().signal;
const GiB = 1024 ** 3;

function storeIn(dir: string, options: Partial<ArtifactStoreOptions> = {}) {
  return createArtifactStore({ dir, maxBytes: 1_000_000, reserveBytes: 0, ...options });
}

function streamOf(bytes: Buffer): Readable {
  const chunks = Array.from({ length: Math.ceil(bytes.length / 10_000) }, (_, index) =>
    bytes.subarray(index * 10_000, (index + 1) * 10_000),
  );
  return Readable.from(chunks, { objectMode: false });
}

/** Sends something, wants it refused, and wants nothing left of it. */
async function refused(
  bytes: Buffer,
  announced: { length?: number; sha256?: string },
  options: Partial<ArtifactStoreOptions> = {},
): Promise<{ error: ZddError; read: boolean }> {
  return await inFolder(async (dir) => {
    let read = false;
    const stream = Readable.from(
      (function* () {
        read = true;
        yield bytes;
      })(),
    );
    const error = await rejection(
      storeIn(dir, options).receive(stream, { length: bytes.length, signal: never, ...announced }),
    );
    expect(await readdir(dir)).toEqual([]);
    // Over this connection the error still has to be told.
    expect(stream.errored).toBe(null);
    expect(stream.destroyed && !stream.readableEnded).toBe(false);
    return { error, read };
  });
}

describe('receiving', () => {
  test('names the artifact by its digest and keeps it for the agent only', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      const received = await store.receive(streamOf(BYTES), {
        length: BYTES.length,
        sha256: DIGEST,
        signal: never,
      });
      expect(received).toEqual({ artifact: DIGEST, bytes: BYTES.length, reused: false });
      expect(await readFile(store.path(DIGEST))).toEqual(BYTES);
      expect((await lstat(store.path(DIGEST))).mode & 0o777).toBe(0o600);
      expect(await readdir(dir)).toEqual([DIGEST]);
    });
  });

  test('makes no second copy of the same bytes', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      const send = () => store.receive(streamOf(BYTES), { length: BYTES.length, signal: never });
      const results = [await send(), await send(), ...(await Promise.all([send(), send()]))];
      expect(results.map(({ reused }) => reused)).toEqual([false, true, true, true]);
      expect(await readdir(dir)).toEqual([DIGEST]);
    });
  });

  test('replaces a kept artifact that has lost bytes', async () => {
    await inFolder(async (dir) => {
      await writeFile(join(dir, DIGEST), 'short');
      const store = storeIn(dir);
      const { reused } = await store.receive(streamOf(BYTES), {
        length: BYTES.length,
        signal: never,
      });
      expect(reused).toBe(false);
      expect(await readFile(store.path(DIGEST))).toEqual(BYTES);
    });
  });
});

describe('refusing', () => {
  test('an artifact over the limit, before a byte of it is read', async () => {
    const { error, read } = await refused(BYTES, {}, { maxBytes: 299_999 });
    expect(error.code).toBe('ZDD_ARTIFACT_TOO_LARGE');
    expect(read).toBe(false);
  });

  test('an artifact the disk has no room for, before a byte of it is read', async () => {
    const free = async (): Promise<number> => 2 * BYTES.length + GiB - 1;
    const { error, read } = await refused(BYTES, {}, { reserveBytes: GiB, freeBytes: free });
    expect(error.code).toBe('ZDD_DISK_FULL');
    expect(error.tries[0]).toMatch(/^df -h /);
    expect(read).toBe(false);
  });

  test('a second upload when the first has been promised the room', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir, { freeBytes: async () => 3 * BYTES.length });
      const held = new Readable({ read: () => undefined });
      const first = store.receive(held, { length: BYTES.length, signal: never });
      held.push(BYTES.subarray(0, 10));
      await expect.poll(() => readdir(dir)).toHaveLength(1);
      const second = store.receive(streamOf(BYTES), { length: BYTES.length, signal: never });
      expect((await rejection(second)).code).toBe('ZDD_DISK_FULL');
      held.push(BYTES.subarray(10));
      held.push(null);
      expect((await first).artifact).toBe(DIGEST);
    });
  });

  test('fewer bytes than announced', async () => {
    const { error } = await refused(BYTES, { length: BYTES.length + 1 });
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
    expect(error.evidence[0]?.[1]).toBe('the upload ended after 300000 of 300001 bytes');
  });

  test('more bytes than announced', async () => {
    const { error } = await refused(BYTES, { length: BYTES.length - 1 });
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
  });

  test('other bytes than announced, and says both digests', async () => {
    const { error } = await refused(BYTES, { sha256: '0'.repeat(64) });
    expect(error.code).toBe('ZDD_ARTIFACT_DIGEST');
    expect(error.evidence).toEqual([
      ['announced', '0'.repeat(64)],
      ['received', DIGEST],
    ]);
  });

  test('an upload that stands still', async () => {
    await inFolder(async (dir) => {
      const stream = new Readable({ read: () => undefined });
      stream.push('some');
      const error = await rejection(
        storeIn(dir, { idleMs: 50 }).receive(stream, { length: 10, signal: never }),
      );
      expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
      expect(error.evidence[0]?.[1]).toContain('stood still for 50 ms after 4 of 10 bytes');
      expect(stream.destroyed).toBe(false);
      expect(await readdir(dir)).toEqual([]);
    });
  });

  test('an upload whose connection breaks', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      const { promise: outcome, resolve } = Promise.withResolvers<Promise<ZddError>>();
      const server = createServer((incoming: IncomingMessage) => {
        resolve(rejection(store.receive(incoming, { length: 1000, signal: never })));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const client = request({ port, host: '127.0.0.1', method: 'POST' });
      client.on('error', () => undefined);
      client.setHeader('content-length', 1000);
      client.write('half of it');
      await expect.poll(() => readdir(dir)).toHaveLength(1);
      client.destroy();
      expect((await await outcome).code).toBe('ZDD_ARTIFACT_CORRUPT');
      expect(await readdir(dir)).toEqual([]);
      server.close();
    });
  });

  test('an upload that is aborted, with the reason of the abort', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      const abort = new AbortController();
      const stream = new Readable({ read: () => undefined });
      stream.push('some');
      const receiving = store.receive(stream, { length: 10, signal: abort.signal });
      await expect.poll(() => readdir(dir)).toHaveLength(1);
      abort.abort(new Error('the client has gone'));
      await expect(receiving).rejects.toThrow('the client has gone');
      expect(await readdir(dir)).toEqual([]);
      const late = store.receive(stream, { length: 10, signal: abort.signal });
      await expect(late).rejects.toThrow('the client has gone');
    });
  });
});

describe('keeping', () => {
  test('has, list and remove know artifacts by digest only', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      await store.receive(streamOf(BYTES), { length: BYTES.length, signal: never });
      await writeFile(join(dir, 'other'), '');
      expect([store.has(DIGEST), store.has('other'), store.has('../x')]).toEqual([
        true,
        false,
        false,
      ]);
      expect(() => store.path('../../etc/passwd')).toThrow('is no artifact');
      expect(await store.list()).toEqual([DIGEST]);
      await store.remove(DIGEST);
      await store.remove(DIGEST);
      expect(await store.list()).toEqual([]);
      expect(await readdir(dir)).toEqual(['other']);
    });
  });

  test('list can leave out what has only just come, or come again', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      const send = () => store.receive(streamOf(BYTES), { length: BYTES.length, signal: never });
      await send();
      expect(await store.list({ olderThanMs: 60_000 })).toEqual([]);
      await utimes(store.path(DIGEST), new Date(0), new Date(0));
      expect(await store.list({ olderThanMs: 60_000 })).toEqual([DIGEST]);
      await send();
      expect(await store.list({ olderThanMs: 60_000 })).toEqual([]);
    });
  });

  test('an empty store has nothing, and needs no folder to say so', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(join(dir, 'none'));
      expect(await store.list()).toEqual([]);
      expect(await store.sweep()).toBe(0);
    });
  });

  test('sweep removes dead uploads and spares running ones', async () => {
    await inFolder(async (dir) => {
      const store = storeIn(dir);
      await writeFile(join(dir, '.zdd-0123456789ab.tmp'), 'dead');
      const stream = new Readable({ read: () => undefined });
      const receiving = store.receive(stream, { length: BYTES.length, signal: never });
      await expect.poll(() => readdir(dir)).toHaveLength(2);
      expect(await store.sweep()).toBe(1);
      stream.push(BYTES);
      stream.push(null);
      expect((await receiving).artifact).toBe(DIGEST);
    });
  });
});
