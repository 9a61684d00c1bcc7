import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readEntries } from '../../agent/store/artifact/entries.ts';
import { detectFormat, openArchive } from '../../agent/store/artifact/format.ts';
import {
  artifactIn,
  file,
  inFolder,
  LIMITS,
  PACKERS,
  rejection,
  SMALL,
  tarOf,
  xzFixture,
} from './archives.ts';

const never = new AbortController().signal;

async function namesIn(bytes: Buffer): Promise<string[]> {
  return await inFolder(async (dir) => {
    const names: string[] = [];
    for await (const { name } of readEntries(await artifactIn(dir, bytes), LIMITS, never)) {
      names.push(name);
    }
    return names;
  });
}

const NAMES = SMALL.map(({ name }) => name);
const tar = tarOf(SMALL);

describe('every format is told by content', () => {
  for (const [format, pack] of Object.entries(PACKERS)) {
    test(format, async () => {
      expect(detectFormat(pack(tar).subarray(0, 512))).toBe(format);
      expect(await namesIn(pack(tar))).toEqual(NAMES);
    });
  }

  test('xz', async () => {
    expect(detectFormat(xzFixture().packed.subarray(0, 512))).toBe('xz');
    expect(await namesIn(xzFixture().packed)).toEqual(NAMES);
  });

  test('parts packed one by one, as parallel packers do', async () => {
    const parts = [tar.subarray(0, 700), tar.subarray(700, 2000), tar.subarray(2000)];
    const skippable = Buffer.from('502a4d180400000001020304', 'hex');
    expect(await namesIn(Buffer.concat(parts.map((part) => gzipSync(part))))).toEqual(NAMES);
    const frames = parts.flatMap((part) => [skippable, zstdCompressSync(part)]);
    expect(await namesIn(Buffer.concat(frames))).toEqual(NAMES);
  });
});

describe('what is no archive of ours', () => {
  const cases: ReadonlyArray<readonly [string, Buffer, string]> = [
    ['text', Buffer.from('hello world\n'.repeat(100)), 'it begins with 68656c6c6f20776f'],
    ['a zip file', Buffer.from(`PK\x03\x04${'x'.repeat(600)}`), 'it looks like a zip file'],
    ['a bzip2 file', Buffer.from(`BZh9${'x'.repeat(600)}`), 'it looks like a bzip2 file'],
    ['text packed by gzip', gzipSync('hello'.repeat(1000)), 'gzip data, but there is no tar in it'],
    ['a tar packed twice', gzipSync(gzipSync(tar, { level: 0 })), 'there is no tar in it'],
  ];
  for (const [what, bytes, why] of cases) {
    test(what, async () => {
      const error = await rejection(namesIn(bytes));
      expect(error.code).toBe('ZDD_ARTIFACT_UNKNOWN_FORMAT');
      expect(error.evidence[0]?.[1]).toContain(why);
    });
  }

  test('an archive that is gone', async () => {
    await inFolder(async (dir) => {
      const error = await rejection(openArchive(join(dir, 'none'), never));
      expect(error.code).toBe('ZDD_ARTIFACT_UNKNOWN');
    });
  });
});

describe('what is empty', () => {
  for (const [what, bytes] of [
    ['no bytes', Buffer.alloc(0)],
    ['only an end mark', Buffer.alloc(1024)],
    ['only an end mark and padding, packed', gzipSync(Buffer.alloc(10_240))],
  ] as const) {
    test(what, async () => {
      expect((await rejection(namesIn(bytes))).code).toBe('ZDD_ARTIFACT_EMPTY');
    });
  }
});

describe('damage', () => {
  test('an end mark of one block', async () => {
    const error = await rejection(namesIn(tarOf(SMALL, Buffer.alloc(512))));
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
  });

  test('an end mark of which one half is something else', async () => {
    const end = Buffer.concat([Buffer.alloc(512), Buffer.alloc(512, 'x')]);
    expect((await rejection(namesIn(tarOf(SMALL, end)))).code).toBe('ZDD_ARTIFACT_CORRUPT');
  });

  test('a second archive behind the first', async () => {
    const error = await rejection(namesIn(Buffer.concat([tar, tar])));
    expect(error.evidence[0]?.[1]).toContain('data behind its end mark');
  });

  test('a header that its checksum does not fit', async () => {
    const damaged = Buffer.from(tar);
    damaged[512 + 512 + 3] = 0x41;
    const error = await rejection(namesIn(damaged));
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
    expect(error.evidence[0]?.[1]).toBe('the header at byte 1024 of the tar is damaged');
  });

  test('a link with content', async () => {
    const error = await rejection(
      namesIn(tarOf([file('zdd.yaml'), { name: 'a', type: '2', target: 'b', content: 'c' }])),
    );
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
  });

  for (const [what, body] of [
    ['a length that is no number', 'x path=a\n'],
    ['a length beyond its end', '99 path=a\n'],
    ['no newline', '9 path=ab'],
    ['no value', '7 path\n'],
    ['a size that is no number', '12 size=-1a\n'],
  ] as const) {
    test(`an extended header with ${what}`, async () => {
      const pieces = [{ name: 'x', type: 'x', content: body }, file('zdd.yaml')];
      expect((await rejection(namesIn(tarOf(pieces)))).code).toBe('ZDD_ARTIFACT_CORRUPT');
    });
  }

  test('two long names for one entry', async () => {
    const long = { name: '././@LongLink', type: 'L', content: 'a-name\0' };
    const error = await rejection(namesIn(tarOf([long, long, file('zdd.yaml')])));
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
  });

  test('an extended header that describes nothing', async () => {
    const pieces = [
      file('zdd.yaml'),
      { name: 'x', type: 'x', content: '8 path=a\n'.replace('8', '9') },
    ];
    expect((await rejection(namesIn(tarOf(pieces)))).code).toBe('ZDD_ARTIFACT_CORRUPT');
  });
});

describe('a reading of xz that is given up leaves the next ones free to run', () => {
  const { packed } = xzFixture();

  test('when it was waiting for its turn', async () => {
    await inFolder(async (dir) => {
      const path = await artifactIn(dir, packed);
      const giveUp = async (): Promise<void> => {
        for await (const _ of readEntries(path, LIMITS, never)) break;
      };
      await Promise.all(Array.from({ length: 20 }, giveUp));
      const aborted = new AbortController();
      const late = openArchive(path, aborted.signal).then(({ tar }) => tar.next());
      aborted.abort(new Error('enough'));
      await expect(late).rejects.toThrow('enough');
      expect(await namesIn(packed)).toEqual(NAMES);
    });
  });

  test('when there is more to read', async () => {
    const error = await rejection(namesIn(Buffer.concat(Array(300).fill(packed))));
    expect(error.code).toBe('ZDD_ARTIFACT_CORRUPT');
    expect(await namesIn(packed)).toEqual(NAMES);
  });

  test('when the decoder has read ahead to the end', async () => {
    await inFolder(async (dir) => {
      const path = await artifactIn(dir, packed);
      for await (const _ of readEntries(path, LIMITS, never)) {
        for (let turns = 0; turns < 50; turns += 1) await setImmediate();
        break;
      }
    });
    expect(await namesIn(packed)).toEqual(NAMES);
  });
});

test('an abort ends the reading with its reason', async () => {
  await inFolder(async (dir) => {
    const path = await artifactIn(dir, gzipSync(tar));
    const abort = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _ of readEntries(path, LIMITS, abort.signal)) {
        abort.abort(new Error('not wanted any more'));
      }
    };
    await expect(read()).rejects.toThrow('not wanted any more');
  });
});
