import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ZddError } from '../../agent/protocol/errors.ts';
import type { UnpackLimits } from '../../agent/store/artifact/limits.ts';
import { unpackArtifact } from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  file,
  folder,
  hardlink,
  inFolder,
  LIMITS,
  PACKERS,
  type Piece,
  pax,
  rejection,
  symlink,
  tarOf,
} from './archives.ts';

const never = new AbortController().signal;
const config = file('zdd.yaml', CONFIG);

/** Unpacks what must be refused; nothing may be left, and nothing outside may be touched. */
async function refusal(bytes: Buffer, limits: Partial<UnpackLimits> = {}): Promise<ZddError> {
  return await inFolder(async (dir) => {
    const artifact = await artifactIn(dir, bytes);
    await writeFile(join(dir, 'outside'), 'untouched');
    const staging = join(dir, 'staging', 'd1');
    const error = await rejection(
      unpackArtifact(artifact, staging, { ...LIMITS, ...limits }, never),
    );
    expect(await readdir(join(dir, 'staging'))).toEqual([]);
    expect((await readdir(dir)).toSorted()).toEqual(['artifact', 'outside', 'staging']);
    expect(await readFile(join(dir, 'outside'), 'utf8')).toBe('untouched');
    return error;
  });
}

async function accepted(pieces: readonly Piece[]): Promise<string[]> {
  return await inFolder(async (dir) => {
    const artifact = await artifactIn(dir, tarOf(pieces));
    const { entries } = await unpackArtifact(artifact, join(dir, 'staging/d1'), LIMITS, never);
    return entries.map(({ path }) => path);
  });
}

describe('refused as unsafe, naming the entry:', () => {
  const cases: ReadonlyArray<readonly [string, readonly Piece[], string]> = [
    ['an absolute path', [file('/etc/passwd')], '"/etc/passwd": an absolute path'],
    ['a path that goes up', [file('../outside')], '"../outside": ".." in its path'],
    ['a path that goes up in the middle', [file('a/../../outside')], '".." in its path'],
    ['a path that goes up and stays inside', [file('a/../b')], '".." in its path'],
    ['a backslash', [file('a\\..\\b')], 'a backslash'],
    ['a NUL', [pax({ path: 'a\0b' }), file('x')], 'a control character'],
    ['a newline', [pax({ path: 'a\nb' }), file('x')], 'a control character'],
    ['a terminal escape', [file('\x1b[2J')], '"\\u001b[2J": a control character'],
    ['a name that is not UTF-8', [pax({ path: 'a\ufffd' }), file('x')], 'not UTF-8'],
    ['the name of the release itself', [file('.')], 'it would replace the release itself'],
    ['the agent’s own file', [file('.zdd-manifest')], 'keeps its own file of this name'],
    ['the agent’s own file in capitals', [file('.ZDD-Manifest')], 'keeps its own file'],
    ['a link to an absolute path', [symlink('a', '/etc/passwd')], 'the absolute path'],
    ['a link that leaves', [symlink('a', '../outside')], '"a": a link that leaves the release'],
    [
      'a link that leaves from a folder',
      [symlink('a/b', '../../outside')],
      '"a/b": a link that leaves the release',
    ],
    [
      'a link that leaves through a link',
      [folder('d/e'), symlink('d/e/up', '../..'), symlink('a', 'd/e/up/../outside')],
      '"a": a link that leaves the release',
    ],
    [
      'a link that leaves through a folder that a link leads to',
      [folder('x/y/z'), symlink('a/deep', '../x'), symlink('b', 'a/deep/../../outside')],
      '"b": a link that leaves the release',
    ],
    ['a link that goes up from nothing', [symlink('a', 'none/../../b')], 'a link through nothing'],
    ['a link that goes up from a file', [file('f'), symlink('a', 'f/../b')], 'through nothing'],
    ['a loop of links', [symlink('a', 'b'), symlink('b', 'a')], 'a loop of links'],
    ['a link to itself', [symlink('a', 'a/x')], 'a loop of links'],
    ['a link to nowhere', [symlink('a', '')], 'a link to nowhere'],
    [
      'a file written through a link',
      [symlink('d', '.'), file('d/outside')],
      '"d/outside": it lies behind the link "d"',
    ],
    [
      'a file written through a link that leaves',
      [symlink('d', '..'), file('d/outside')],
      'it lies behind the link "d"',
    ],
    ['a folder made through a link', [symlink('d', 'e'), folder('d/x')], 'behind the link "d"'],
    ['a link written over by a file', [symlink('d', 'zdd.yaml'), file('d')], 'has it twice'],
    ['a hard link that leaves', [hardlink('a', '../outside')], '".." in its path'],
    ['a hard link to an absolute path', [hardlink('a', '/etc/passwd')], 'the absolute path'],
    ['a hard link to nothing', [hardlink('a', 'none')], 'which is no earlier file here'],
    ['a hard link to a folder', [folder('d'), hardlink('a', 'd')], 'which is no earlier file here'],
    ['a hard link through a link', [symlink('d', '.'), hardlink('a', 'd/zdd.yaml')], 'no earlier'],
    ['a device', [{ name: 'null', type: '3' }], '"null": a device'],
    ['a block device', [{ name: 'sda', type: '4' }], '"sda": a device'],
    ['a named pipe', [{ name: 'pipe', type: '6' }], '"pipe": a named pipe'],
    ['a sparse file of GNU tar', [{ name: 'holes', type: 'S' }], '"holes": a sparse file'],
    ['a sparse file of POSIX', [pax({ 'GNU.sparse.major': '1' }), file('x')], 'a sparse file'],
    ['an unknown kind of entry', [{ name: 'what', type: 'Z' }], '"what": a kind of entry'],
    ['a header that renames all', [pax({ path: 'a' }, 'g'), file('x')], 'renames all'],
    ['setuid', [file('su', 'x', 0o4755)], '"su": setuid or setgid'],
    ['setgid', [file('sg', 'x', 0o2755)], '"sg": setuid or setgid'],
    ['the same file twice', [file('a', '1'), file('a', '2')], '"a": the archive has it twice'],
    ['the same file twice, spelled differently', [file('a'), file('.//a')], 'has it twice'],
    ['the same folder twice', [folder('a'), folder('a')], '"a/": the archive has it twice'],
    ['a folder in the place of a file', [file('a'), file('a/b')], 'the archive has it twice'],
    ['a file in the place of a folder', [file('a/b'), file('a')], 'it is a folder already'],
    ['names that differ in case', [file('README'), file('readme')], '"readme": its name differs'],
    ['folders that differ in case', [file('Lib/a'), file('lib/b')], 'differs from "Lib"'],
    ['names that differ in accents', [file('e\u0301'), file('\u00e9')], 'in case or accents'],
  ];
  for (const [what, pieces, why] of cases) {
    test(what, async () => {
      const error = await refusal(tarOf([config, ...pieces]));
      expect(error.code).toBe('ZDD_ARTIFACT_UNSAFE');
      expect(error.evidence[0]?.[1]).toContain(why);
    });
  }

  test('a link that leaves the only folder at the root, which is the release', async () => {
    const pieces = [file('shop/zdd.yaml', CONFIG), symlink('shop/a', '../shop/zdd.yaml')];
    expect((await refusal(tarOf(pieces))).code).toBe('ZDD_ARTIFACT_UNSAFE');
  });

  test('setgid on a folder is no right to anything, and is dropped', async () => {
    expect(await accepted([config, { ...folder('d'), mode: 0o2775 }])).toEqual(['d', 'zdd.yaml']);
  });

  test('while links that stay are taken, dangling ones too', async () => {
    const links = [
      symlink('a', 'zdd.yaml'),
      symlink('d/up', '../a'),
      symlink('d/e/around', '../../d/up'),
      symlink('dangling', 'not/yet'),
      symlink('here', '.'),
    ];
    expect(await accepted([config, ...links])).toContain('d/e/around');
  });

  test('a hard link to a link is that link again', async () => {
    expect(await accepted([config, symlink('a', 'zdd.yaml'), hardlink('b', 'a')])).toContain('b');
  });
});

describe('refused as too large:', () => {
  const large = file('large', Buffer.alloc(2_000_000, 'abc'));
  const cases: ReadonlyArray<readonly [string, Buffer, Partial<UnpackLimits>, string]> = [
    ['one file', tarOf([config, large]), { fileBytes: 1_000_000 }, '"large": 1.9 MiB'],
    [
      'all files together',
      tarOf([config, file('a', Buffer.alloc(600_000)), file('b', Buffer.alloc(600_000))]),
      { unpackedBytes: 1_000_000 },
      '"b": with it the files exceed',
    ],
    ['entries', tarOf([config, file('a'), file('b')]), { entries: 2 }, 'more than 2 entries'],
    [
      'global headers, which are entries as well',
      tarOf([pax({ comment: 'a' }, 'g'), pax({ comment: 'b' }, 'g'), config]),
      { entries: 2 },
      'more than 2 entries',
    ],
    ['a path', tarOf([config, pax({ path: 'a/'.repeat(513) }), file('x')]), {}, 'a path longer'],
    ['a name', tarOf([config, pax({ path: 'a'.repeat(256) }), file('x')]), {}, 'a name longer'],
    [
      'a depth',
      tarOf([config, pax({ path: `${'a/'.repeat(64)}b` }), file('x')]),
      {},
      'more than 64 folders deep',
    ],
    [
      'an extended header',
      tarOf([config, { name: 'x', type: 'x', content: Buffer.alloc(1_100_000) }]),
      {},
      'its extended header is too long',
    ],
    [
      'an expansion',
      PACKERS.gzip(tarOf([config, file('bomb', Buffer.alloc(80_000_000))])),
      { unpackedBytes: 1e12 },
      'more than 200 times their size',
    ],
    [
      'zeros behind the end',
      PACKERS.gzip(tarOf([config], Buffer.alloc(20_000_000))),
      {},
      'its padding at the end is too long',
    ],
    [
      'a stream of headers',
      PACKERS.zstd(
        tarOf([config, ...Array.from({ length: 70 }, () => pax({ comment: 'x'.repeat(900_000) }))]),
      ),
      { unpackedBytes: 1000, entries: 10, ratio: 1e9 },
      'it unpacks to more than 1000 bytes',
    ],
  ];
  for (const [what, bytes, limits, why] of cases) {
    test(what, async () => {
      const error = await refusal(bytes, limits);
      expect(error.evidence[0]?.[1]).toContain(why);
      expect(error.code).toBe('ZDD_ARTIFACT_TOO_LARGE');
    });
  }
});

test('a disk that would fall below its reserve is refused before it does', async () => {
  await inFolder(async (dir) => {
    const artifact = await artifactIn(dir, tarOf([config, file('b', Buffer.alloc(500_000))]));
    const limits = { ...LIMITS, reserveBytes: 1_000_000 };
    const free = async (): Promise<number> => 1_400_000;
    const error = await rejection(
      unpackArtifact(artifact, join(dir, 'staging/d1'), limits, never, { freeBytes: free }),
    );
    expect(error.code).toBe('ZDD_DISK_FULL');
    expect(await readdir(join(dir, 'staging'))).toEqual([]);
  });
});

describe('refused for want of content:', () => {
  test('an archive of folders only', async () => {
    expect((await refusal(tarOf([folder('a')]))).code).toBe('ZDD_ARTIFACT_EMPTY');
  });

  test('an archive without zdd.yaml', async () => {
    expect((await refusal(tarOf([file('a')]))).code).toBe('ZDD_CONFIG_MISSING');
  });
});
