import { hash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ReleaseEntry } from '../../agent/protocol/manifest.ts';
import { readAppConfig } from '../../agent/store/artifact/artifacts.ts';
import { readEntries } from '../../agent/store/artifact/entries.ts';
import { DEFAULT_UNPACK_LIMITS } from '../../agent/store/artifact/limits.ts';
import { unpackArtifact } from '../../agent/store/release-folder/release-folder.ts';
import { Ahead } from '../../cli/push/pack/ahead.ts';
import { Outgoing } from '../../cli/push/pack/outgoing.ts';
import { packOutline } from '../../cli/push/pack/pack.ts';
import { digestOf } from '../../cli/push/send/upload.ts';
import { ignoredBy } from '../../cli/push/source/ignored.ts';
import { scanFolder } from '../../cli/push/source/scan.ts';
import { AT_ONCE, digestOfTree, folderTree } from '../../cli/push/source/tree.ts';
import { temporaryFolder } from './run-cli.ts';
import { ZDD_YAML } from './samples.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const { signal } = new AbortController();
/** Paths on both sides of `zdd.yaml`, one of them too large to be packed ahead. */
const SIZES = { 'a/b': 10, 'a.js': 0, large: AT_ONCE, 'm/n/o': 600_000, 'zz/end': 513, zzz: 512 };
const FILES = Object.keys(SIZES).length + 1;

beforeEach(async () => {
  folder = await temporaryFolder();
  await mkdir(join(folder.path, 'tmp'));
  vi.stubEnv('TMPDIR', join(folder.path, 'tmp'));
  for (const [path, size] of Object.entries({ ...SIZES, 'zdd.yaml': -1 })) {
    const at = join(folder.path, 'project', path);
    await mkdir(dirname(at), { recursive: true });
    await writeFile(at, size < 0 ? ZDD_YAML : Buffer.alloc(size, path));
  }
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await folder.remove();
});

/** Looks at the folder; before the file of this number it becomes known that all of them travel. */
async function lookedAt(from: number) {
  const ahead = new Ahead(signal);
  let looked = 0;
  let beginning = from === 0 ? ahead.begin() : null;
  const root = join(folder.path, 'project');
  const entries = await scanFolder(root, ignoredBy(''), signal, {
    walked: (names) => ahead.walked(names),
    async take(file, content) {
      if (looked === from) beginning ??= ahead.begin();
      looked += 1;
      await beginning;
      await ahead.take(file, content);
    },
  });
  const spool = await (beginning ?? ahead.begin());
  return { ahead, spool, tree: folderTree(root, entries) };
}

test('whenever it is known that all travels, all travels once, zdd.yaml first, and cut anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(FILES),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (from, cut) => {
        const { ahead, spool, tree } = await lookedAt(from);
        const outgoing = new Outgoing(Buffer.alloc(0), spool);
        const sent = outgoing.from(0).toArray();
        await ahead.finish(tree);
        const first = Buffer.concat(await sent);
        const at = Math.floor(cut * first.length);
        expect(Buffer.concat(await outgoing.from(at).toArray())).toEqual(first.subarray(at));
        expect(outgoing.bytes).toBe(first.length);
        expect(outgoing.sha256()).toBe(hash('sha256', first));
        expect(await outgoing.hasFrom(first.length)).toBe(false);

        const arrived = join(folder.path, 'arrived');
        await writeFile(arrived, first);
        const names: string[] = [];
        for await (const { name } of readEntries(arrived, DEFAULT_UNPACK_LIMITS, signal)) {
          names.push(name);
        }
        const all = tree.entries.map(({ type, path }) =>
          type === 'directory' ? `${path}/` : path,
        );
        expect(names.toSorted()).toEqual(all.toSorted());
        expect(names[0]).toBe('zdd.yaml');
        expect((await readAppConfig(arrived)).text).toBe(ZDD_YAML);
        const staging = join(folder.path, 'staging', 'one');
        const unpacked = await unpackArtifact(arrived, staging, DEFAULT_UNPACK_LIMITS, signal);
        expect(unpacked.digest).toBe(digestOfTree(tree));
        await ahead.remove();
        expect(await readdir(join(folder.path, 'tmp'))).toEqual([]);
      },
    ),
    { numRuns: 25 },
  );
});

test('names and sizes are told before a file is read, as they will be found', async () => {
  const ahead = new Ahead(signal);
  const root = join(folder.path, 'project');
  let read = 0;
  const told: ReleaseEntry[] = [];
  const entries = await scanFolder(root, ignoredBy(''), signal, {
    walked(names) {
      expect(read).toBe(0);
      told.push(...names);
      ahead.walked(names);
    },
    async take() {
      read += 1;
    },
  });
  expect(await ahead.names).toEqual(told);
  const nameless = entries.map((entry) =>
    entry.type === 'file' ? { ...entry, sha256: '' } : entry,
  );
  expect(told).toEqual(nameless);
  expect(read).toBe(FILES - 1);
});

test('what is looked at too early to be kept travels all the same', async () => {
  const root = join(folder.path, 'project');
  for (const name of Array(40).keys()) {
    await writeFile(join(root, `b${name}`), Buffer.alloc(AT_ONCE - 1, name));
  }
  const { ahead, spool, tree } = await lookedAt(Number.POSITIVE_INFINITY);
  await ahead.finish(tree);
  const arrived = join(folder.path, 'arrived');
  await writeFile(arrived, Buffer.concat(await spool.from(0).toArray()));
  const staging = join(folder.path, 'staging', 'one');
  const unpacked = await unpackArtifact(arrived, staging, DEFAULT_UNPACK_LIMITS, signal);
  expect(unpacked.digest).toBe(digestOfTree(tree));
  await ahead.remove();
});

test('a cut in the middle of what was never sent before counts no byte twice', async () => {
  const { ahead, spool, tree } = await lookedAt(0);
  await ahead.finish(tree);
  const outgoing = new Outgoing(packOutline(tree), spool);
  for await (const _piece of outgoing.from(0)) break;
  const whole = Buffer.concat(await outgoing.from(7).toArray());
  const all = Buffer.concat([packOutline(tree).subarray(0, 7), whole]);
  expect(outgoing.sha256()).toBe(hash('sha256', all));
  await ahead.remove();
});

test('what goes wrong with packing is told to who reads it and to who finishes it, and leaves nothing', async () => {
  const ahead = new Ahead(AbortSignal.abort(new Error('enough')));
  const spool = await ahead.begin();
  const root = join(folder.path, 'project');
  const entries = await scanFolder(root, ignoredBy(''), signal, ahead);
  const read = spool.from(0).toArray();
  const finished = ahead.finish(folderTree(root, entries));
  await expect(read).rejects.toThrow('enough');
  await expect(finished).rejects.toThrow('enough');
  await ahead.remove();
  expect(await readdir(join(folder.path, 'tmp'))).toEqual([]);
});

test('who waits for what will never be looked at is let go', async () => {
  const ahead = new Ahead(signal);
  const spool = await ahead.begin();
  const read = spool.from(0).toArray();
  const more = spool.hasFrom(0);
  await ahead.remove();
  expect(await read).toEqual([]);
  expect(await more).toBe(false);
});

test('what is dropped keeps nothing and holds nobody up', async () => {
  const ahead = new Ahead(signal);
  const root = join(folder.path, 'project');
  await scanFolder(root, ignoredBy(''), signal, {
    walked: (names) => ahead.walked(names),
    async take(file, content) {
      await ahead.take(file, content);
      ahead.drop();
    },
  });
  await ahead.remove();
  expect(await readdir(join(folder.path, 'tmp'))).toEqual([]);
});

test('who ends a push while a ready archive is hashed is told why it ended', async () => {
  const ended = new AbortController();
  const hashing = digestOf(join(folder.path, 'project', 'large'), ended.signal);
  ended.abort(new Error('enough'));
  await expect(hashing).rejects.toThrow('enough');
});
