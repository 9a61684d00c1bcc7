import { execFileSync } from 'node:child_process';
import { appendFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { packTree } from '../../cli/push/pack/pack.ts';
import { ignoredBy } from '../../cli/push/source/ignored.ts';
import { scanFolder } from '../../cli/push/source/scan.ts';
import { folderTree } from '../../cli/push/source/tree.ts';
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
