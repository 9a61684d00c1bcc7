import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  commitRelease,
  inspectRelease,
  sweepReleases,
  sweepStaging,
  type UnpackedRelease,
  unpackArtifact,
  verifyRelease,
} from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  contentsOf,
  file,
  folder,
  hardlink,
  inFolder,
  LIMITS,
  PACKERS,
  type Piece,
  pax,
  SMALL,
  symlink,
  tarOf,
  xzFixture,
} from './archives.ts';

const never = new AbortController().signal;

async function unpacked<T>(
  bytes: Buffer,
  use: (staging: string, release: UnpackedRelease, dir: string) => Promise<T>,
): Promise<T> {
  return await inFolder(async (dir) => {
    const staging = join(dir, 'staging', 'd1');
    const release = await unpackArtifact(await artifactIn(dir, bytes), staging, LIMITS, never);
    return await use(staging, release, dir);
  });
}

async function digestOf(bytes: Buffer): Promise<string> {
  return await unpacked(bytes, async (_, { digest }) => digest);
}

async function modeOf(path: string): Promise<string> {
  return ((await lstat(path)).mode & 0o7777).toString(8);
}

describe('unpacking', () => {
  test('writes files, folders and links, the files read-only', async () => {
    const umask = process.umask(0o077);
    try {
      await unpacked(tarOf(SMALL), async (staging, release) => {
        expect(release).toMatchObject({ files: 4, bytes: 1402 });
        expect(contentsOf(staging)).toMatchObject({
          'zdd.yaml': CONFIG,
          bin: null,
          'bin/run': '#!/bin/sh\nexec node server.js\n',
          'bin/again': '#!/bin/sh\nexec node server.js\n',
        });
        expect(await readlink(join(staging, 'start'))).toBe('bin/run');
        expect(await modeOf(staging)).toBe('750');
        expect(await modeOf(join(staging, 'bin'))).toBe('755');
        expect(await modeOf(join(staging, 'bin/run'))).toBe('555');
        expect(await modeOf(join(staging, 'server.js'))).toBe('444');
      });
    } finally {
      process.umask(umask);
    }
  });

  test('writes large files too', async () => {
    const large = Buffer.alloc(3_000_001, 'large');
    await unpacked(
      PACKERS.gzip(tarOf([file('zdd.yaml', CONFIG), file('large', large)])),
      async (staging, { entries }) => {
        expect(await readFile(join(staging, 'large'))).toEqual(large);
        expect(entries.find(({ path }) => path === 'large')).toMatchObject({
          bytes: large.length,
          sha256: hash('sha256', large),
        });
      },
    );
  });

  test('drops the one folder at the root when zdd.yaml lies in it', async () => {
    const pieces = [
      folder('shop'),
      file('shop/zdd.yaml', CONFIG),
      file('shop/lib/a'),
      symlink('shop/lib/up', '../zdd.yaml'),
      hardlink('shop/b', 'shop/lib/a'),
    ];
    await unpacked(tarOf(pieces), async (staging, { entries }, dir) => {
      expect(entries.map(({ path }) => path)).toEqual(['b', 'lib', 'lib/a', 'lib/up', 'zdd.yaml']);
      expect(await readFile(join(staging, 'lib/up'), 'utf8')).toBe(CONFIG);
      expect(await readFile(join(staging, 'b'), 'utf8')).toBe('shop/lib/a');
      expect(await readdir(join(dir, 'staging'))).toEqual(['d1']);
    });
  });

  test('takes names that are too long for a header, of GNU tar and of POSIX', async () => {
    const long = `${'folder/'.repeat(25)}file`;
    const pieces = [
      file('zdd.yaml', CONFIG),
      { name: '././@LongLink', type: 'L', content: `${long}-gnu\0` },
      file('cut', 'gnu'),
      pax({ path: `${long}-é` }),
      file('cut', 'posix'),
      { name: '././@LongLink', type: 'K', content: `${'folder/'.repeat(25)}file-gnu\0` },
      symlink('link', 'cut'),
      pax({ size: '5' }),
      { ...file('sized', 'hello'), size: 5 },
    ];
    await unpacked(tarOf(pieces), async (staging) => {
      expect(await readFile(join(staging, `${long}-gnu`), 'utf8')).toBe('gnu');
      expect(await readFile(join(staging, `${long}-é`), 'utf8')).toBe('posix');
      expect(await readFile(join(staging, 'link'), 'utf8')).toBe('gnu');
      expect(await readFile(join(staging, 'sized'), 'utf8')).toBe('hello');
    });
  });

  test('waits for what is still being written, to link to it and to remove it', async () => {
    const written = Array.from({ length: 8 }, (_, at) => file(`f${at}`, Buffer.alloc(250_000)));
    const pieces = [file('zdd.yaml', CONFIG), ...written];
    for (let times = 0; times < 10; times += 1) {
      const linked = tarOf([...pieces, hardlink('again', 'f7')]);
      await unpacked(linked, async (_, { files }) => expect(files).toBe(10));
      await inFolder(async (dir) => {
        const artifact = await artifactIn(dir, tarOf([...pieces, file('../out')]));
        const staging = join(dir, 'staging/d1');
        await expect(unpackArtifact(artifact, staging, LIMITS, never)).rejects.toThrow();
        expect(await readdir(join(dir, 'staging'))).toEqual([]);
      });
    }
  });

  test('makes room for itself where an earlier attempt was killed', async () => {
    await unpacked(tarOf(SMALL), async (staging, first, dir) => {
      await writeFile(join(staging, 'left-behind'), '');
      await mkdir(`${staging}.root`);
      const again = await unpackArtifact(join(dir, 'artifact'), staging, LIMITS, never);
      expect(again.digest).toBe(first.digest);
      expect(await readdir(join(dir, 'staging'))).toEqual(['d1']);
      expect(await readdir(staging)).not.toContain('left-behind');
    });
  });

  test('unpacks what tar and git archive make', async () => {
    await inFolder(async (dir) => {
      const app = join(dir, 'app');
      await mkdir(join(app, 'lib'), { recursive: true });
      await writeFile(join(app, 'zdd.yaml'), CONFIG);
      await writeFile(join(app, 'lib', `${'n'.repeat(120)}.js`), 'long', { mode: 0o755 });
      const git = (...args: string[]) => execFileSync('git', ['-C', app, ...args]);
      git('init', '-q');
      git('add', '.');
      git('-c', 'user.name=a', '-c', 'user.email=a@b.c', 'commit', '-qm', 'first');
      const tar = (...args: string[]) => execFileSync('tar', ['--exclude=.git', ...args]);
      const archives = [
        git('archive', 'HEAD'),
        git('archive', '--prefix=shop-1.2/', 'HEAD'),
        git('archive', '--format=tgz', 'HEAD'),
        tar('-c', '-C', app, '.'),
        tar('-cz', '-C', dir, 'app'),
        tar('-c', '--format=pax', '-C', app, 'zdd.yaml', 'lib'),
        tar('-c', '--format=gnu', '-C', app, 'lib', 'zdd.yaml'),
      ];
      const digests = new Set(await Promise.all(archives.map(digestOf)));
      expect(digests.size).toBe(1);
    });
  });

  test('an abort leaves nothing and tells its reason', async () => {
    await inFolder(async (dir) => {
      const artifact = await artifactIn(dir, tarOf([file('zdd.yaml', CONFIG), ...many(500)]));
      const abort = new AbortController();
      let asked = 0;
      const freeBytes = async (): Promise<number> => {
        asked += 1;
        abort.abort(new Error('aborted by deploy@laptop'));
        return 1e12;
      };
      const staging = join(dir, 'staging/d1');
      await expect(
        unpackArtifact(artifact, staging, LIMITS, abort.signal, { freeBytes }),
      ).rejects.toThrow('aborted by deploy@laptop');
      expect(asked).toBe(1);
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
    });
  });
});

describe('the digest', () => {
  test('is the sha256 of the manifest in the release', async () => {
    await unpacked(tarOf(SMALL), async (staging, { digest }) => {
      const manifest = await readFile(join(staging, '.zdd-manifest'), 'utf8');
      expect(hash('sha256', manifest)).toBe(digest);
      expect(manifest.split('\n').slice(0, 3)).toEqual([
        'zdd-manifest 1',
        'directory\tbin',
        `file\tx\t30\t${hash('sha256', '#!/bin/sh\nexec node server.js\n')}\tbin/again`,
      ]);
    });
  });

  const same: Readonly<Record<string, Buffer>> = {
    'in another compression': PACKERS.zstd(tarOf(SMALL)),
    'in xz': xzFixture().packed,
    'at another time': tarOf(SMALL.map((piece) => ({ ...piece, mtime: 1e9 }))),
    'with other rights for group and others': tarOf(
      SMALL.map((piece) => ({ ...piece, mode: (piece.mode ?? 0o644) & 0o711 })),
    ),
    'in another order': tarOf([...SMALL.slice(0, 5).toReversed(), ...SMALL.slice(5)]),
    'without entries for folders': tarOf(SMALL.filter(({ type }) => type !== '5')),
    'in a folder': tarOf(
      SMALL.map((piece) => ({
        ...piece,
        name: `shop/${piece.name}`,
        ...(piece.type === '1' ? { target: `shop/${piece.target}` } : {}),
      })),
    ),
    'with a copy in the place of a hard link': tarOf([
      ...SMALL.slice(0, 5),
      file('bin/again', '#!/bin/sh\nexec node server.js\n', 0o755),
    ]),
  };
  for (const [how, bytes] of Object.entries(same)) {
    test(`is the same for the same content ${how}`, async () => {
      expect(await digestOf(bytes)).toBe(await digestOf(tarOf(SMALL)));
    });
  }

  const other: Readonly<Record<string, readonly Piece[]>> = {
    content: [...SMALL, file('more', 'a')],
    'an executable bit': SMALL.map((piece) =>
      piece.name === 'server.js' ? { ...piece, mode: 0o755 } : piece,
    ),
    'a link': SMALL.map((piece) =>
      piece.name === 'start' ? { ...piece, target: 'bin/again' } : piece,
    ),
    'an empty folder': [...SMALL, folder('empty')],
    'a name': SMALL.map((piece) =>
      piece.name === 'server.js' ? { ...piece, name: 'main.js' } : piece,
    ),
  };
  for (const [what, pieces] of Object.entries(other)) {
    test(`tells ${what} apart`, async () => {
      expect(await digestOf(tarOf(pieces))).not.toBe(await digestOf(tarOf(SMALL)));
    });
  }
});

describe('committing', () => {
  test('is one rename, and may be repeated', async () => {
    await unpacked(tarOf(SMALL), async (staging, { digest }, dir) => {
      const releases = join(dir, 'releases');
      await commitRelease(staging, releases, 'r1');
      await commitRelease(staging, releases, 'r1');
      expect(await verifyRelease(join(releases, 'r1'), digest)).toBe(true);
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
    });
  });

  test('keeps an intact release, and puts the staged one in the place of a damaged one', async () => {
    await unpacked(tarOf(SMALL), async (staging, _, dir) => {
      const releases = join(dir, 'releases');
      const release = join(releases, 'r1');
      const again = async (): Promise<void> => {
        await unpackArtifact(join(dir, 'artifact'), staging, LIMITS, never);
        await commitRelease(staging, releases, 'r1');
      };
      await commitRelease(staging, releases, 'r1');
      await writeFile(join(release, 'cache'), 'of the app');
      await again();
      expect(await readdir(release)).toContain('cache');
      await rm(join(release, 'server.js'));
      await writeFile(join(release, 'server.js'), 'changed');
      await again();
      expect(await readdir(release)).not.toContain('cache');
      expect(await verifyRelease(release)).toBe(true);
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
      expect(await readdir(releases)).toEqual(['r1']);
    });
  });

  test('does not hide that there is nothing to commit', async () => {
    await inFolder(async (dir) => {
      await expect(commitRelease(join(dir, 'd1'), join(dir, 'releases'), 'r1')).rejects.toThrow();
    });
  });
});

describe('verifying', () => {
  const damages: ReadonlyArray<readonly [string, string, string]> = [
    ['a changed file', 'chmod u+w server.js; printf "x" >> server.js', 'has another size'],
    ['other content of the same size', 'sed -i s/hello/jello/ server.js', 'has other content'],
    ['a missing file', 'rm server.js', 'is missing'],
    ['a file in the place of a folder', 'rm -r bin; touch bin', 'is no directory'],
    ['a changed executable bit', 'chmod a+x server.js', 'has another executable bit'],
    ['a changed link', 'ln -sfn server.js start', 'points elsewhere'],
    ['a copy in the place of a link', 'rm start; touch start', 'is no link'],
    ['a link in the place of a file', 'ln -sf zdd.yaml server.js', 'is a link, not a file'],
    ['a folder in the place of a file', 'rm server.js; mkdir server.js', 'is no file'],
    ['a missing manifest', 'rm .zdd-manifest', 'is missing'],
    ['a damaged manifest', 'rm .zdd-manifest; echo x > .zdd-manifest', 'is damaged'],
    ['a line of the manifest cut short', 'sed -i "2s/.*/file/" .zdd-manifest', 'is damaged'],
  ];
  for (const [what, command, difference] of damages) {
    test(`finds ${what}`, async () => {
      await unpacked(tarOf(SMALL), async (staging) => {
        execFileSync('sh', ['-c', command], { cwd: staging });
        const found = await inspectRelease(staging);
        expect(found.map((each) => each.what)).toContain(difference);
        expect(await verifyRelease(staging)).toBe(false);
      });
    });
  }

  test('finds another release, and a folder that is none', async () => {
    await unpacked(tarOf(SMALL), async (staging, { digest }) => {
      expect(await verifyRelease(staging, digest)).toBe(true);
      expect(await verifyRelease(staging, digest.replace(/./, 'x'))).toBe(false);
      expect(await verifyRelease(join(staging, 'none'))).toBe(false);
      expect(await verifyRelease(join(staging, 'server.js'))).toBe(false);
    });
  });

  test('minds nothing that the app put beside its files', async () => {
    await unpacked(tarOf(SMALL), async (staging) => {
      await writeFile(join(staging, 'bin/cache'), '');
      expect(await verifyRelease(staging)).toBe(true);
    });
  });
});

test('sweeping removes stagings, and releases that nobody knows', async () => {
  await unpacked(tarOf(SMALL), async (staging, _, dir) => {
    expect(await sweepStaging(join(dir, 'staging'))).toBe(1);
    expect(await sweepStaging(join(dir, 'none'))).toBe(0);
    await mkdir(join(dir, 'releases/r1'), { recursive: true });
    await mkdir(join(dir, 'releases/r2'));
    expect(await sweepReleases(join(dir, 'releases'), ['r2'])).toBe(1);
    expect(await readdir(join(dir, 'releases'))).toEqual(['r2']);
    expect(await readdir(join(staging, '..'))).toEqual([]);
  });
});

function many(count: number): Piece[] {
  return Array.from({ length: count }, (_, index) => file(`lib/${index}`));
}
