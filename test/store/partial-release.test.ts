import { hash } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  MANIFEST_NAME,
  manifestOf,
  outlineOf,
  type ReleaseEntry,
} from '../../agent/protocol/manifest.ts';
import { readOutline, unpackArtifact } from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  contentsOf,
  file,
  folder,
  inFolder,
  LIMITS,
  symlink as link,
  type Piece,
  rejection,
  tarOf,
} from './archives.ts';

const { signal } = new AbortController();

const OLD: readonly Piece[] = [
  file('zdd.yaml', CONFIG),
  file('kept.js', 'kept'),
  file('lib/large.bin', Buffer.alloc(700_000, 7)),
  file('lib/run', '#!/bin/sh\n', 0o755),
];
const NEW: readonly Piece[] = [
  file('zdd.yaml', CONFIG),
  file('changed.js', 'new'),
  file('kept.js', 'kept', 0o755),
  file('moved/large.bin', Buffer.alloc(700_000, 7)),
  link('start', 'moved/large.bin'),
  folder('empty'),
];

/** An older release, a newer one whole, and what has to travel to make the one of the other. */
async function laidOut(dir: string, sent: readonly string[]) {
  const old = join(dir, 'releases/r1');
  await mkdir(join(dir, 'releases'));
  const oldArtifact = await artifactIn(dir, tarOf(OLD));
  await unpackArtifact(oldArtifact, old, LIMITS, signal);
  const whole = await unpackArtifact(
    await artifactIn(dir, tarOf(NEW)),
    join(dir, 'staging/whole'),
    LIMITS,
    signal,
  );
  const outline = outlineOf(whole);
  const pieces = NEW.filter(({ name }) => sent.includes(name));
  const part = await artifactIn(dir, tarOf([file(MANIFEST_NAME, outline), ...pieces]));
  return { old, whole, part, staging: join(dir, 'staging/d2') };
}

/** The same with an outline of one's own. */
async function partOf(
  dir: string,
  entries: readonly ReleaseEntry[],
  more: readonly Piece[] = [],
): Promise<string> {
  const digest = hash('sha256', manifestOf(entries));
  return await artifactIn(
    dir,
    tarOf([file(MANIFEST_NAME, outlineOf({ digest, entries })), ...more]),
  );
}

function fileOf(path: string, text: string, bytes: number): ReleaseEntry {
  return { type: 'file', path, executable: false, bytes, sha256: hash('sha256', text) };
}
const told = (path: string, text: string) => fileOf(path, text, Buffer.byteLength(text));
const YAML = told('zdd.yaml', CONFIG);

describe('a part of a release', () => {
  test('becomes what the whole becomes, by copies of what is there', async () => {
    await inFolder(async (dir) => {
      const { old, whole, part, staging } = await laidOut(dir, ['zdd.yaml', 'changed.js']);
      const made = await unpackArtifact(part, staging, LIMITS, signal, { sources: [old] });
      expect(made).toEqual(whole);
      expect(contentsOf(staging)).toEqual(contentsOf(join(dir, 'staging/whole')));
      const copy = await stat(join(staging, 'moved/large.bin'));
      const source = await stat(join(old, 'lib/large.bin'));
      expect(copy.ino).not.toBe(source.ino);
      expect([copy.nlink, copy.mode & 0o777]).toEqual([1, 0o444]);
      expect((await stat(join(staging, 'kept.js'))).mode & 0o777).toBe(0o555);
    });
  });

  test('may be the whole, with an outline before it', async () => {
    await inFolder(async (dir) => {
      const names = NEW.filter(({ type }) => type === undefined).map(({ name }) => name);
      const { whole, part, staging } = await laidOut(dir, names);
      expect(await unpackArtifact(part, staging, LIMITS, signal)).toEqual(whole);
    });
  });

  test('that counts on what is gone is refused', async () => {
    await inFolder(async (dir) => {
      const { old, part, staging } = await laidOut(dir, ['zdd.yaml', 'changed.js']);
      await rm(join(old, 'kept.js'));
      const error = await rejection(
        unpackArtifact(part, staging, LIMITS, signal, { sources: [old] }),
      );
      expect(error.code).toBe('ZDD_ARTIFACT_UNKNOWN');
      expect(error.evidence).toEqual([['file', 'kept.js']]);
      expect(await readdir(join(dir, 'staging'))).toEqual(['whole']);
    });
  });

  test('that counts on a file somebody has changed since is refused, and no way is left to it', async () => {
    await inFolder(async (dir) => {
      const { old, part, staging } = await laidOut(dir, ['zdd.yaml', 'changed.js']);
      await chmod(join(old, 'kept.js'), 0o644);
      await writeFile(join(old, 'kept.js'), 'evil');
      const error = await rejection(
        unpackArtifact(part, staging, LIMITS, signal, { sources: [old] }),
      );
      expect(error.code).toBe('ZDD_ARTIFACT_DIGEST');
      expect(error.tries).toEqual(['zdd-agent push --whole']);
      expect(await readdir(join(dir, 'staging'))).toEqual(['whole']);
    });
  });

  test('takes nothing from a folder that was replaced by a shared one', async () => {
    await inFolder(async (dir) => {
      const { old, part, staging } = await laidOut(dir, ['zdd.yaml', 'changed.js', 'kept.js']);
      await rename(join(old, 'lib'), join(dir, 'shared'));
      await symlink(join(dir, 'shared'), join(old, 'lib'));
      const error = await rejection(
        unpackArtifact(part, staging, LIMITS, signal, { sources: [old] }),
      );
      expect(error.evidence).toEqual([['file', 'moved/large.bin']]);
    });
  });

  test('that holds other content than its outline announced is refused', async () => {
    await inFolder(async (dir) => {
      const part = await partOf(
        dir,
        [told('a.js', 'good'), YAML],
        [file('zdd.yaml', CONFIG), file('a.js', 'evil')],
      );
      const staging = join(dir, 'staging/d1');
      const error = await rejection(unpackArtifact(part, staging, LIMITS, signal));
      expect(error.code).toBe('ZDD_ARTIFACT_DIGEST');
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
    });
  });

  test('that holds more than its outline announced is refused', async () => {
    await inFolder(async (dir) => {
      const more = [file('zdd.yaml', CONFIG), file('b.js', 'more')];
      const part = await partOf(dir, [YAML], more);
      const error = await rejection(unpackArtifact(part, join(dir, 'staging/d1'), LIMITS, signal));
      expect(error.code).toBe('ZDD_ARTIFACT_DIGEST');
    });
  });
});

describe('an outline is held against the rules of an archive', () => {
  const huge = fileOf('huge', '', 65 * 1024 * 1024);
  const target = (path: string, to: string): ReleaseEntry => ({
    type: 'symlink',
    path,
    target: to,
  });
  test.each<[string, readonly ReleaseEntry[], string]>([
    ['a way up', [YAML, told('../x', '')], '".." in its path'],
    ['an absolute path', [YAML, told('/etc/x', '')], 'an absolute path'],
    ['a link out', [YAML, target('x', '../../etc')], 'a link that leaves the release'],
    ['an absolute link', [YAML, target('x', '/etc')], 'a link to the absolute path'],
    ['a file behind a link', [YAML, target('x', '.'), told('x/y', '')], 'behind the link'],
    ['a name twice', [YAML, told('x', ''), told('x', '')], 'twice'],
    ['names that differ in case', [YAML, told('x', ''), told('X', '')], 'in case or accents'],
    ['a control character', [YAML, told('x\u001b[2J', '')], 'a control character'],
    ['a name too long', [YAML, told('x'.repeat(256), '')], 'longer than 255 bytes'],
    ['too much', [YAML, huge], 'the files exceed'],
    ['the agent’s own file', [YAML, told('.Zdd-manifest', '')], 'keeps its own file'],
    ['no zdd.yaml', [told('x', '')], 'zdd.yaml'],
    ['zdd.yaml in a folder', [told('x/zdd.yaml', CONFIG)], 'does not lie at its root'],
  ])('%s', async (_, entries, why) => {
    await inFolder(async (dir) => {
      const part = await partOf(dir, entries);
      const early = await rejection(readOutline(part, LIMITS, signal));
      expect(early.message + JSON.stringify(early.evidence)).toContain(why.replaceAll('"', '\\"'));
      // And once more when it is unpacked, whoever sent it, and how.
      await rejection(unpackArtifact(part, join(dir, 'staging/d1'), LIMITS, signal));
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
    });
  });

  test('more entries than a release may have', async () => {
    await inFolder(async (dir) => {
      const entries = Array.from({ length: 30 }, (_, n) => told(`f${n}`, ''));
      const part = await partOf(dir, [...entries, YAML]);
      const error = await rejection(readOutline(part, { ...LIMITS, entries: 30 }, signal));
      expect(error.code).toBe('ZDD_ARTIFACT_TOO_LARGE');
    });
  });

  test.each([
    ['nonsense', 'zdd-outline 1\n'],
    ['a size that is no number', `zdd-outline 1 ${'a'.repeat(64)}\nfile\t-\t-1\tab\tx\n`],
    ['a manifest', 'zdd-manifest 1\n'],
  ])('%s is none', async (_, text) => {
    await inFolder(async (dir) => {
      const part = await artifactIn(
        dir,
        tarOf([file(MANIFEST_NAME, text), file('zdd.yaml', CONFIG)]),
      );
      expect((await rejection(readOutline(part, LIMITS, signal))).code).toBe('ZDD_ARTIFACT_UNSAFE');
      const staging = join(dir, 'staging/d1');
      const error = await rejection(unpackArtifact(part, staging, LIMITS, signal));
      expect(error.code).toBe('ZDD_ARTIFACT_UNSAFE');
    });
  });
});
