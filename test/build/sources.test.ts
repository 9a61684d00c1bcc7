import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isMade, openWork, publish } from '../../build/dist.ts';
import { dateOf, fingerprint } from '../../build/sources.ts';

const DATE = new Date('2026-05-04T03:02:01Z');
const FOLDERS = ['agent', 'build', 'cli', 'docs', 'templates'];
const FILES = ['CHANGELOG.md', 'LICENSE', 'install.sh', 'package-lock.json', 'package.json'];
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'zdd-sources-'));
  for (const folder of FOLDERS) await mkdir(join(root, folder));
  for (const file of FILES) await writeFile(join(root, file), file);
  await writeFile(join(root, 'agent/main.ts'), 'run();');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

test('the fingerprint changes with a file, a new file, a new name and the date, and with nothing else', async () => {
  const first = await fingerprint(root, DATE);
  await writeFile(join(root, 'README.md'), 'no part of the package');
  await writeFile(join(root, 'agent/.main.ts.swp'), 'of an editor');
  expect(await fingerprint(root, DATE)).toBe(first);

  const seen = new Set([first, await fingerprint(root, new Date(0))]);
  await writeFile(join(root, 'agent/main.ts'), 'walk();');
  seen.add(await fingerprint(root, DATE));
  await writeFile(join(root, 'templates/haproxy.cfg'), '');
  seen.add(await fingerprint(root, DATE));
  await cp(join(root, 'templates/haproxy.cfg'), join(root, 'templates/other.cfg'));
  await rm(join(root, 'templates/haproxy.cfg'));
  seen.add(await fingerprint(root, DATE));
  expect(seen.size).toBe(5);
});

test('the date is SOURCE_DATE_EPOCH, or one that never changes where there is no commit', () => {
  vi.stubEnv('SOURCE_DATE_EPOCH', '1700000000');
  expect(dateOf(root).toISOString()).toBe('2023-11-14T22:13:20.000Z');
  vi.stubEnv('SOURCE_DATE_EPOCH', undefined);
  expect(dateOf(root).toISOString()).toBe('2026-01-01T00:00:00.000Z');
});

test('dist/ is made only when all its files are there, of these sources', async () => {
  const dist = join(root, 'dist');
  expect(await isMade(dist, ['a.deb'], 'first')).toBe(false);
  const work = await openWork(dist);
  await writeFile(join(work, 'a.deb'), 'bytes');
  await writeFile(join(dist, 'older.deb'), 'bytes');
  await publish(dist, work, ['a.deb'], 'first');
  expect(await isMade(dist, ['a.deb'], 'first')).toBe(true);
  expect(await isMade(dist, ['a.deb'], 'second')).toBe(false);
  expect(await isMade(dist, ['older.deb'], 'first')).toBe(false);
  await rm(join(dist, 'a.deb'));
  expect(await isMade(dist, ['a.deb'], 'first')).toBe(false);
});

test('what a killed build has left is removed, and what a running one has is not', async () => {
  const dist = join(root, 'dist');
  const mine = await openWork(dist);
  // No process has a pid beyond the kernel's limit.
  const dead = join(dist, '.build-4194305-abc');
  await mkdir(dead);
  await openWork(dist);
  const left = (await readdir(dist)).map((name) => join(dist, name));
  expect(left).toContain(mine);
  expect(left).not.toContain(dead);
});
