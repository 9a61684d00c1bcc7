import {
  symlink as link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  commitRelease,
  linkShared,
  unpackArtifact,
  verifyRelease,
} from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  file,
  folder,
  inFolder,
  LIMITS,
  type Piece,
  rejection,
  symlink,
  tarOf,
} from './archives.ts';

const never = new AbortController().signal;

async function staged<T>(
  pieces: readonly Piece[],
  use: (release: string, shared: string, dir: string) => Promise<T>,
): Promise<T> {
  return await inFolder(async (dir) => {
    const artifact = await artifactIn(dir, tarOf([file('zdd.yaml', CONFIG), ...pieces]));
    const staging = join(dir, 'staging/d1');
    await unpackArtifact(artifact, staging, LIMITS, never);
    return await use(staging, join(dir, 'shared'), dir);
  });
}

async function modeOf(path: string): Promise<string> {
  return ((await lstat(path)).mode & 0o777).toString(8);
}

describe('a shared path', () => {
  test('starts as a copy of what the first release brings, for the app to change', async () => {
    const pieces = [
      file('.env', 'SECRET=1'),
      file('uploads/logo.png', 'logo'),
      file('uploads/tool', 'tool', 0o755),
      symlink('uploads/latest', 'logo.png'),
    ];
    await staged(pieces, async (release, shared) => {
      const links = await linkShared(release, shared, ['uploads', '.env']);
      expect(links.map(({ path, made }) => [path, made])).toEqual([
        ['uploads', 'seeded'],
        ['.env', 'seeded'],
      ]);
      expect(await readlink(join(release, 'uploads'))).toBe(join(shared, 'uploads'));
      expect(await readFile(join(release, 'uploads/latest'), 'utf8')).toBe('logo');
      expect(await modeOf(join(shared, '.env'))).toBe('600');
      expect(await modeOf(join(shared, 'uploads/tool'))).toBe('700');
      expect((await readdir(shared)).toSorted()).toEqual(['.env', 'uploads']);
    });
  });

  test('is never touched again by later releases', async () => {
    await staged([file('uploads/logo.png', 'new')], async (release, shared) => {
      await mkdir(join(shared, 'uploads'), { recursive: true });
      await writeFile(join(shared, 'uploads/photo'), 'of a user');
      expect(await linkShared(release, shared, ['uploads'])).toMatchObject([{ made: 'no' }]);
      expect(await readdir(join(release, 'uploads'))).toEqual(['photo']);
    });
  });

  test('that nobody brings is an empty folder, or a file still to come', async () => {
    await staged([], async (release, shared) => {
      const paths = ['uploads', 'data/app.sqlite', 'v1.d/'];
      const links = await linkShared(release, shared, paths);
      expect(links.map(({ made }) => made)).toEqual(['empty', 'no', 'empty']);
      expect(await readdir(join(release, 'uploads'))).toEqual([]);
      expect(await readdir(join(release, 'v1.d'))).toEqual([]);
      await writeFile(join(release, 'data/app.sqlite'), 'made by the app');
      expect(await readFile(join(shared, 'data/app.sqlite'), 'utf8')).toBe('made by the app');
    });
  });

  test('may be a link of the admin to another disk', async () => {
    await staged([file('uploads/seed')], async (release, shared, dir) => {
      await mkdir(join(dir, 'big'));
      await mkdir(shared);
      await link(join(dir, 'big'), join(shared, 'uploads'));
      await linkShared(release, shared, ['uploads']);
      await writeFile(join(release, 'uploads/x'), '');
      expect(await readdir(join(dir, 'big'))).toEqual(['x']);
    });
  });
});

describe('linking', () => {
  test('may be repeated, and finishes what was cut off', async () => {
    await staged([file('uploads/a'), file('lib/cache/b')], async (release, shared) => {
      await mkdir(join(shared, '.zdd-seed-0123abcd'), { recursive: true });
      const paths = ['uploads', 'lib/cache'];
      await linkShared(release, shared, paths.slice(0, 1));
      await linkShared(release, shared, paths);
      const again = await linkShared(release, shared, paths);
      expect(again.map(({ made }) => made)).toEqual(['no', 'no']);
      expect((await readdir(shared)).toSorted()).toEqual(['lib', 'uploads']);
      expect(await readdir(join(release, 'lib/cache'))).toEqual(['b']);
    });
  });

  test('leaves a release that still verifies, and can be committed', async () => {
    await staged([file('uploads/a'), file('.env'), folder('x/y')], async (release, shared, dir) => {
      await linkShared(release, shared, ['uploads', '.env', 'x']);
      await commitRelease(release, join(dir, 'releases'), 'r1');
      expect(await verifyRelease(join(dir, 'releases/r1'))).toBe(true);
      expect(await readdir(join(dir, 'releases/r1/uploads'))).toEqual(['a']);
      await rm(join(shared, 'uploads/a'));
      expect(await verifyRelease(join(dir, 'releases/r1'))).toBe(true);
    });
  });

  test('does nothing when nothing is shared', async () => {
    await staged([], async (release, shared, dir) => {
      expect(await linkShared(release, shared, [])).toEqual([]);
      expect(await readdir(dir)).not.toContain('shared');
    });
  });
});

describe('refused:', () => {
  const cases: ReadonlyArray<readonly [string, readonly Piece[], readonly string[], string]> = [
    ['a path in another', [], ['a', 'a/b'], 'ZDD_CONFIG_INVALID'],
    ['a path that leaves', [], ['../x'], 'ZDD_CONFIG_INVALID'],
    ['an absolute path', [], ['/etc'], 'ZDD_CONFIG_INVALID'],
    ['the release itself', [], ['./'], 'ZDD_CONFIG_INVALID'],
    ['the manifest', [], ['.zdd-manifest'], 'ZDD_CONFIG_INVALID'],
    ['a link of the release', [symlink('a', 'zdd.yaml')], ['a'], 'ZDD_ARTIFACT_UNSAFE'],
    ['a path behind a link', [folder('b'), symlink('a', 'b')], ['a/x'], 'ZDD_ARTIFACT_UNSAFE'],
    ['a path in a file', [], ['zdd.yaml/x'], 'ZDD_ARTIFACT_UNSAFE'],
    [
      'a folder with a link that leaves it',
      [symlink('a/b', '../zdd.yaml')],
      ['a'],
      'ZDD_ARTIFACT_UNSAFE',
    ],
  ];
  for (const [what, pieces, paths, code] of cases) {
    test(what, async () => {
      await staged(pieces, async (release, shared) => {
        expect((await rejection(linkShared(release, shared, paths))).code).toBe(code);
        const left = await readdir(shared).catch(() => []);
        expect(left).toEqual([]);
      });
    });
  }
});
