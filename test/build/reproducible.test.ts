import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { dateOf } from '../../build/sources.ts';
import { buildPackage, DEB, ROOT, TARBALL } from './package.ts';

const run = promisify(execFile);
const SOURCES = [
  'agent',
  'build',
  'cli',
  'docs',
  'templates',
  'CHANGELOG.md',
  'LICENSE',
  'install.sh',
  'package-lock.json',
  'package.json',
];
let other: string | undefined;

beforeAll(() => buildPackage(ROOT), 120_000);

afterEach(async () => {
  if (other !== undefined) await rm(other, { recursive: true });
  other = undefined;
});

test('a build in another folder, zone and umask, of files of another time, makes the same bytes', async () => {
  // On the same disk, so that the packages can be hard links; named as what a build may leave there.
  other = await mkdtemp(join(ROOT, `dist/.build-${process.pid}-other-clone-`));
  const clone = join(other, 'deeper/down');
  await mkdir(clone, { recursive: true });
  for (const source of SOURCES) {
    await cp(join(ROOT, source), join(clone, source), { recursive: true });
  }
  await utimes(join(clone, 'install.sh'), 0, 0);
  await mkdir(join(clone, 'node_modules'));
  const packages = await run('sh', [
    '-c',
    'cp -al "$0"/node_modules/[!.]* "$1"/node_modules/',
    ROOT,
    clone,
  ]);
  expect(packages.stderr).toBe('');

  const epoch = String(dateOf(ROOT).getTime() / 1_000);
  const before = process.umask(0o077);
  try {
    await buildPackage(clone, { SOURCE_DATE_EPOCH: epoch, TZ: 'Pacific/Auckland', HOME: other });
  } finally {
    process.umask(before);
  }
  for (const file of [TARBALL, DEB]) {
    expect(await digest(join(clone, 'dist', basename(file)))).toBe(await digest(file));
  }
}, 180_000);

test('a second build of the same sources does nothing', async () => {
  const before = await readFile(TARBALL);
  expect(await buildPackage(ROOT)).toBe('dist/ is already made of these sources\n');
  expect((await readFile(TARBALL)).equals(before)).toBe(true);
});

async function digest(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}
