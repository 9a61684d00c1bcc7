import { describe, expect, test } from 'vitest';
import type { ZddError } from '../../agent/protocol/errors.ts';
import { type AppConfigFile, readAppConfig } from '../../agent/store/artifact/artifacts.ts';
import {
  artifactIn,
  CONFIG,
  file,
  folder,
  inFolder,
  PACKERS,
  type Piece,
  pax,
  rejection,
  SMALL,
  symlink,
  tarOf,
  xzFixture,
} from './archives.ts';

async function read(bytes: Buffer): Promise<AppConfigFile> {
  return await inFolder(async (dir) => await readAppConfig(await artifactIn(dir, bytes)));
}

async function refusal(pieces: readonly Piece[]): Promise<ZddError> {
  return await rejection(read(tarOf(pieces)));
}

describe('zdd.yaml is found', () => {
  for (const [format, pack] of Object.entries(PACKERS)) {
    test(`in ${format}`, async () => {
      const { text, config, path } = await read(pack(tarOf(SMALL)));
      expect([text, config.app, path]).toEqual([CONFIG, 'shop', 'zdd.yaml']);
    });
  }

  test('in xz', async () => {
    expect((await read(xzFixture().packed)).text).toBe(CONFIG);
  });

  const places: ReadonlyArray<readonly [string, readonly Piece[], string]> = [
    ['at the root', [file('zdd.yaml', CONFIG), file('other')], 'zdd.yaml'],
    ['behind "./"', [folder('.'), file('./zdd.yaml', CONFIG)], 'zdd.yaml'],
    ['in the only folder', [folder('shop-1'), file('shop-1/zdd.yaml', CONFIG)], 'shop-1/zdd.yaml'],
    ['in the only folder, behind "./"', [file('./shop-1/zdd.yaml', CONFIG)], 'shop-1/zdd.yaml'],
    [
      'at the root rather than in a folder',
      [file('a/zdd.yaml', 'app: other'), file('zdd.yaml', CONFIG)],
      'zdd.yaml',
    ],
    [
      'after the comment that git archive writes',
      [pax({ comment: '9f3c1e2' }, 'g'), file('zdd.yaml', CONFIG)],
      'zdd.yaml',
    ],
  ];
  for (const [what, pieces, path] of places) {
    test(what, async () => {
      expect(await read(tarOf(pieces))).toMatchObject({ text: CONFIG, path });
    });
  }
});

describe('zdd.yaml is missing', () => {
  const cases: ReadonlyArray<readonly [string, readonly Piece[]]> = [
    ['when there is none', [file('server.js')]],
    ['when it is in one of two folders', [file('a/zdd.yaml', CONFIG), file('b/x')]],
    ['when it is in a folder beside a file', [file('a/zdd.yaml', CONFIG), file('x')]],
    ['when it is two folders deep', [file('a/b/zdd.yaml', CONFIG)]],
    ['when it is called zdd.yml', [file('zdd.yml', CONFIG)]],
    ['when it is a link', [file('real.yaml', CONFIG), symlink('zdd.yaml', 'real.yaml')]],
    ['when it is a folder', [folder('zdd.yaml'), file('zdd.yaml/x')]],
  ];
  for (const [what, pieces] of cases) {
    test(what, async () => {
      expect((await refusal(pieces)).code).toBe('ZDD_CONFIG_MISSING');
    });
  }

  test('and the error names what was found instead', async () => {
    const { evidence } = await refusal([file('a/zdd.yml', CONFIG), file('b')]);
    expect(evidence).toContainEqual(['at the root', 'a, b']);
    expect(evidence).toContainEqual(['found', 'a/zdd.yml']);
  });
});

test('an archive of folders only is empty', async () => {
  expect((await refusal([folder('a'), folder('a/b')])).code).toBe('ZDD_ARTIFACT_EMPTY');
});

test('an invalid zdd.yaml is named as it lies in the archive', async () => {
  const error = await refusal([file('shop-1/zdd.yaml', 'app: shop\n')]);
  expect(error.code).toBe('ZDD_CONFIG_INVALID');
  expect(error.evidence[0]?.[0]).toBe('shop-1/zdd.yaml:1:1');
});

test('a zdd.yaml of megabytes is refused', async () => {
  const error = await refusal([file('zdd.yaml', '#'.repeat(2_000_000))]);
  expect(error.code).toBe('ZDD_ARTIFACT_TOO_LARGE');
});
