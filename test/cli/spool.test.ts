import { globSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BLOCK, Blocks } from '../../cli/push/pack/blocks.ts';
import { levelFor, zstdFrames } from '../../cli/push/pack/compress.ts';
import { PIECE, Spool } from '../../cli/push/pack/spool.ts';

const { signal } = new AbortController();

test.each([0, 6, 100])(
  'a spool is read while it grows, from anywhere, more than once: %s bytes in memory',
  async (inMemory) => {
    const spool = await Spool.open('x', { inMemory });
    const go = Promise.withResolvers<void>();
    const filled = spool.fill(
      (async function* () {
        yield Buffer.from('one ');
        await go.promise;
        yield Buffer.from('two ');
        yield Buffer.from('three');
      })(),
      signal,
    );
    const read = async (from: number) => {
      let text = '';
      for await (const chunk of spool.from(from)) text += String(chunk);
      return text;
    };
    const [early, inside] = [read(0), read(2)];
    go.resolve();
    await filled;
    expect(spool.unread).toBeLessThanOrEqual(13);
    await spool.fill(
      (async function* () {
        yield Buffer.from(' four');
      })(),
      signal,
    );
    spool.end();
    expect(await early).toBe('one two three four');
    expect(await inside).toBe('e two three four');
    expect(await read(8)).toBe('three four');
    expect(await read(18)).toBe('');
    expect(spool.unread).toBe(0);
    await spool.remove();
  },
);

test('however much comes at once, it is read in pieces that a slow line takes in time', async () => {
  const spool = await Spool.open('x', { inMemory: BLOCK });
  const source = (async function* () {
    yield Buffer.alloc(BLOCK);
    yield Buffer.alloc(BLOCK);
  })();
  await spool.fill(source, signal);
  spool.end();
  const pieces = await spool.from(0).toArray();
  expect(pieces.map((piece) => piece.length)).toEqual(Array(2 * (BLOCK / PIECE)).fill(PIECE));
  await spool.remove();
});

test('a reader does not wait for ever, and is told whether more has come since', async () => {
  const spool = await Spool.open('x', { inMemory: 100, quietMs: 20 });
  const go = Promise.withResolvers<void>();
  const filled = spool.fill(
    (async function* () {
      yield Buffer.from('one');
      await go.promise;
      yield Buffer.from('two');
    })(),
    signal,
  );
  expect(await spool.hasFrom(0)).toBe(true);
  expect(String(Buffer.concat(await spool.from(0).toArray()))).toBe('one');
  const more = spool.hasFrom(3);
  go.resolve();
  expect(await more).toBe(true);
  expect(String(Buffer.concat(await spool.from(3).toArray()))).toBe('two');
  await filled;
  spool.end();
  expect(await spool.hasFrom(6)).toBe(false);
  await spool.remove();
});

test('who reads a spool, or waits for more, gets what went wrong with filling it', async () => {
  const spool = await Spool.open('x', { inMemory: 100 });
  const more = spool.hasFrom(3);
  const filled = spool.fill(
    (async function* () {
      yield Buffer.from('one');
      throw new Error('the disk is gone');
    })(),
    signal,
  );
  await expect(filled).rejects.toThrow('the disk is gone');
  await expect(spool.from(0).toArray()).rejects.toThrow('the disk is gone');
  await expect(more).rejects.toThrow('the disk is gone');
  await spool.remove();
});

test('pieces of any size come out of blocks as they went in, though blocks are used again', async () => {
  const size = fc.oneof(fc.nat(2_000), fc.integer({ min: BLOCK - 1, max: 2 * BLOCK + 1 }));
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 20 }), async (sizes) => {
      const pieces = sizes.map((bytes, index) => Buffer.alloc(bytes, index + 1));
      const blocks = new Blocks();
      const adding = (async () => {
        for (const piece of pieces) await blocks.add(piece);
        blocks.end();
      })();
      const read: Buffer[] = [];
      for await (const block of blocks) read.push(Buffer.from(block));
      await adding;
      expect(Buffer.concat(read).equals(Buffer.concat(pieces))).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test('who adds waits for the reader, knows how much fits without, and is let go with it', async () => {
  const blocks = new Blocks();
  let added = 0;
  while (blocks.hasRoom(BLOCK)) {
    await blocks.add(Buffer.alloc(BLOCK));
    added += 1;
  }
  expect(added).toBeGreaterThan(1);
  const waiting = blocks.add(Buffer.alloc(2 * BLOCK));
  for await (const _block of blocks) break;
  await waiting;
  await blocks.add(Buffer.alloc(20 * BLOCK));
});

test('what goes wrong with adding comes after what was added', async () => {
  const blocks = new Blocks();
  await blocks.add(Buffer.alloc(BLOCK));
  blocks.fail(new Error('it has grown'));
  let read = 0;
  await expect(async () => {
    for await (const block of blocks) read += block.length;
  }).rejects.toThrow('it has grown');
  expect(read).toBe(BLOCK);
});

test('the more waits to be sent, the smaller the rest becomes', async () => {
  const sources = globSync('{cli,agent}/**/*.ts').toSorted();
  const text = Buffer.concat(sources.map((path) => readFileSync(path)));
  const packed = async (unsent: number) => {
    const blocks = new Blocks();
    await blocks.add(text);
    blocks.end();
    let bytes = 0;
    for await (const frame of zstdFrames(blocks, () => levelFor(unsent))) bytes += frame.length;
    return bytes;
  };
  const [none, some, much] = [await packed(0), await packed(3e6), await packed(30e6)];
  expect(some).toBeLessThan(none);
  expect(much).toBeLessThan(some);
});
