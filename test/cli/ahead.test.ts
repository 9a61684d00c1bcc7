import { hash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ReleaseFile } from '../../agent/protocol/manifest.ts';
import { readAppConfig } from '../../agent/store/artifact/artifacts.ts';
import { readEntries } from '../../agent/store/artifact/entries.ts';
import { DEFAULT_UNPACK_LIMITS } from '../../agent/store/artifact/limits.ts';
import { unpackArtifact } from '../../agent/store/release-folder/release-folder.ts';
import { Ahead } from '../../cli/push/ahead.ts';
import { ignoredBy } from '../../cli/push/ignored.ts';
import { Outgoing } from '../../cli/push/outgoing.ts';
import { packFiles, packOutline } from '../../cli/push/pack.ts';
import { scanFolder } from '../../cli/push/scan.ts';
import { Spool } from '../../cli/push/spool.ts';
import { AT_ONCE, digestOfTree, filesOf, folderTree } from '../../cli/push/tree.ts';
import { digestOf } from '../../cli/push/upload.ts';
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

/** Looks at the folder; from the file of this number on it is known that all of them travel. */
async function lookedAt(from: number) {
  const ahead = new Ahead(signal);
  let looked = 0;
  const root = join(folder.path, 'project');
  const entries = await scanFolder(root, ignoredBy(''), signal, (file, content) => {
    if (looked === from) ahead.want();
    looked += 1;
    return ahead.take(file, content);
  });
  await ahead.end();
  return { ahead, tree: folderTree(root, entries) };
}

test('whenever it is known that all travels, all travels once, zdd.yaml first, and cut anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(FILES),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (from, cut) => {
        const { ahead, tree } = await lookedAt(from);
        // Without the large file, at least the last one is packed ahead unless it is known too late.
        expect(ahead.spool === null).toBe(from >= FILES - 1);
        const spool = ahead.spool ?? (await Spool.open('release'));
        const outline = packOutline(tree);
        const rest = filesOf(tree).filter((file) => !ahead.has(file));
        await spool.fill(packFiles(tree, rest), signal);
        const outgoing = new Outgoing(outline, spool);

        const first = Buffer.concat(await outgoing.from(0).toArray());
        const at = Math.floor(cut * first.length);
        expect(Buffer.concat(await outgoing.from(at).toArray())).toEqual(first.subarray(at));
        expect(outgoing.bytes).toBe(first.length);
        expect(outgoing.sha256()).toBe(hash('sha256', first));

        const arrived = join(folder.path, 'arrived');
        await writeFile(arrived, first);
        const names: string[] = [];
        for await (const { name } of readEntries(arrived, DEFAULT_UNPACK_LIMITS, signal)) {
          names.push(name);
        }
        expect(names.toSorted()).toEqual(
          ['.zdd-manifest', ...Object.keys(SIZES), 'zdd.yaml'].toSorted(),
        );
        expect(names.slice(0, 2)).toEqual(['.zdd-manifest', 'zdd.yaml']);
        expect((await readAppConfig(arrived)).text).toBe(ZDD_YAML);
        const staging = join(folder.path, 'staging', 'one');
        const unpacked = await unpackArtifact(arrived, staging, DEFAULT_UNPACK_LIMITS, signal);
        expect(unpacked.digest).toBe(digestOfTree(tree));
        await spool.remove();
        await ahead.remove();
        expect(await readdir(join(folder.path, 'tmp'))).toEqual([]);
      },
    ),
    { numRuns: 25 },
  );
});

test('a cut in the middle of what was never sent before counts no byte twice', async () => {
  const { ahead, tree } = await lookedAt(0);
  const spool = ahead.spool ?? expect.fail('nothing is packed');
  await spool.fill(
    packFiles(
      tree,
      filesOf(tree).filter((file) => !ahead.has(file)),
    ),
    signal,
  );
  const outgoing = new Outgoing(packOutline(tree), spool);
  for await (const _piece of outgoing.from(0)) break;
  const whole = Buffer.concat(await outgoing.from(7).toArray());
  const all = Buffer.concat([packOutline(tree).subarray(0, 7), whole]);
  expect(outgoing.sha256()).toBe(hash('sha256', all));
  await ahead.remove();
});

test('what goes wrong with packing ends the looking, with its reason, and leaves nothing', async () => {
  const ahead = new Ahead(AbortSignal.abort(new Error('enough')));
  ahead.want();
  const root = join(folder.path, 'project');
  const take = (file: ReleaseFile, content: Buffer) => ahead.take(file, content);
  const looking = scanFolder(root, ignoredBy(''), signal, take).then(() => ahead.end());
  await expect(looking).rejects.toThrow('enough');
  await ahead.remove();
  expect(await readdir(join(folder.path, 'tmp'))).toEqual([]);
});

test('who ends a push while a ready archive is hashed is told why it ended', async () => {
  const ended = new AbortController();
  const hashing = digestOf(join(folder.path, 'project', 'large'), ended.signal);
  ended.abort(new Error('enough'));
  await expect(hashing).rejects.toThrow('enough');
});
