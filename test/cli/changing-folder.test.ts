import { execFileSync } from 'node:child_process';
import { appendFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ignoredBy } from '../../cli/push/ignored.ts';
import { packTree } from '../../cli/push/pack.ts';
import { scanFolder } from '../../cli/push/scan.ts';
import { Spool } from '../../cli/push/spool.ts';
import { folderTree } from '../../cli/push/tree.ts';
import { temporaryFolder } from './run-cli.ts';
import { ZDD_YAML } from './samples.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const { signal } = new AbortController();
const SMALL = 'small.js';
const LARGE = 'large.bin';

beforeEach(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder.path, 'zdd.yaml'), ZDD_YAML);
  await writeFile(join(folder.path, SMALL), 'as it was\n');
  await writeFile(join(folder.path, LARGE), Buffer.alloc(3_000_000, 1));
});
afterEach(() => folder.remove());

const at = (name: string) => join(folder.path, name);

test.each<[string, string, string, () => Promise<unknown>]>([
  ['grows', SMALL, 'it has grown', () => appendFile(at(SMALL), 'more')],
  ['grows', LARGE, 'it has grown', () => appendFile(at(LARGE), 'more')],
  ['shrinks', SMALL, 'it has other content now', () => truncate(at(SMALL), 3)],
  ['shrinks', LARGE, 'it has other content now', () => truncate(at(LARGE), 1_000_000)],
  ['is rewritten', SMALL, 'it has other content now', () => writeFile(at(SMALL), 'as it is!\n')],
  ['is deleted', SMALL, 'no such file or folder', () => rm(at(SMALL))],
  [
    'becomes a pipe',
    SMALL,
    'it is no file any more',
    async () => {
      await rm(at(SMALL));
      execFileSync('mkfifo', [at(SMALL)]);
    },
  ],
])(
  'a file that %s between being looked at and being packed is told: %s',
  async (_, path, why, change) => {
    const entries = await scanFolder(folder.path, ignoredBy(''), signal);
    await change();
    const temporary = await temporaryFolder();
    vi.stubEnv('TMPDIR', temporary.path);
    await expect(packTree(folderTree(folder.path, entries), signal)).rejects.toMatchObject({
      code: 'ZDD_ARTIFACT_UNSAFE',
      message: 'the folder changed while it was packed',
      evidence: [[path, why]],
    });
    vi.unstubAllEnvs();
    expect(await readdir(temporary.path)).toEqual([]);
    await temporary.remove();
  },
);

test('a spool is read while it grows, from anywhere, more than once', async () => {
  const spool = await Spool.open('x');
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
  expect(await early).toBe('one two three');
  expect(await inside).toBe('e two three');
  expect(await read(8)).toBe('three');
  expect(await read(13)).toBe('');
  await spool.remove();
});

test('who reads a spool gets what went wrong with filling it', async () => {
  const spool = await Spool.open('x');
  const filled = spool.fill(
    (async function* () {
      yield Buffer.from('one');
      throw new Error('the disk is gone');
    })(),
    signal,
  );
  await expect(filled).rejects.toThrow('the disk is gone');
  await expect(spool.from(0).toArray()).rejects.toThrow('the disk is gone');
  await spool.remove();
});
