import { lstat, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { collisionKey } from '../../agent/store/artifact/names.ts';
import { unpackArtifact, verifyRelease } from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  file,
  folder,
  inFolder,
  LIMITS,
  PACKERS,
  type Piece,
  pax,
  symlink,
  tarOf,
} from './archives.ts';

const never = new AbortController().signal;

type Thing =
  | { kind: 'file'; content: Uint8Array; executable: boolean }
  | { kind: 'folder' }
  | { kind: 'link'; target: string };

const component = fc.constantFrom(
  'a',
  'b',
  'c',
  'é',
  'x y',
  '日本',
  '-f',
  '.hidden',
  'n'.repeat(120),
);
const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const thing: fc.Arbitrary<Thing> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    content: fc.oneof(fc.uint8Array({ maxLength: 1500 }), fc.constant(new Uint8Array(300_000))),
    executable: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('folder' as const) }),
  fc.record({ kind: fc.constant('link' as const), target: component }),
);

/** A tree in which nothing lies in a file or behind a link, and no two names collide. */
const tree = fc.dictionary(path, thing, { maxKeys: 12 }).map((things) => {
  const kept = new Map<string, Thing>();
  const folders = new Set<string>();
  for (const [name, value] of Object.entries(things)) {
    const parts = name.split('/');
    const above = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'));
    if (above.some((each) => kept.has(each) && kept.get(each)?.kind !== 'folder')) continue;
    if (folders.has(name) && value.kind !== 'folder') continue;
    for (const each of above) folders.add(each);
    kept.set(name, value);
  }
  // A link must not be part of a loop: one that meets another link is left out.
  for (const [name, value] of kept) {
    if (value.kind !== 'link') continue;
    const target = join(name, '..', value.target);
    if (kept.get(target)?.kind === 'link' || target === name) kept.delete(name);
  }
  return kept;
});

function piecesOf(things: ReadonlyMap<string, Thing>, prefix: string): Piece[][] {
  return [...things].map(([name, value]) => {
    const path = `${prefix}${name}`;
    const piece = pieceOf(value);
    // Some names and links would not fit into a header.
    return [pax({ path, ...(value.kind === 'link' ? { linkpath: value.target } : {}) }), piece];
  });
}

function pieceOf(value: Thing): Piece {
  switch (value.kind) {
    case 'file':
      return file('cut', Buffer.from(value.content), value.executable ? 0o700 : 0o600);
    case 'folder':
      return folder('cut');
    case 'link':
      return symlink('cut', 'cut');
  }
}

test('what is packed is what is unpacked, however it was packed, and has one digest', async () => {
  await fc.assert(
    fc.asyncProperty(
      tree,
      fc.constantFrom('', './', 'shop-1/'),
      fc.constantFrom(...Object.values(PACKERS)),
      fc.boolean(),
      async (things, prefix, pack, reverse) => {
        expect(new Set([...things.keys()].map(collisionKey)).size).toBe(things.size);
        const config = [file(`${prefix}zdd.yaml`, CONFIG)];
        const pieces = piecesOf(things, prefix);
        const packed = pack(tarOf([config, ...(reverse ? pieces.toReversed() : pieces)].flat()));
        const plain = tarOf([[file('zdd.yaml', CONFIG)], ...piecesOf(things, '')].flat());
        await inFolder(async (dir) => {
          const release = join(dir, 'staging/d1');
          const artifact = await artifactIn(dir, packed);
          const { digest } = await unpackArtifact(artifact, release, LIMITS, never);
          for (const [name, value] of things) await expectThing(join(release, name), value);
          expect(await verifyRelease(release, digest)).toBe(true);
          const other = join(dir, 'staging/d2');
          const second = await unpackArtifact(await artifactIn(dir, plain), other, LIMITS, never);
          expect(second.digest).toBe(digest);
        });
      },
    ),
    { numRuns: 50 },
  );
});

async function expectThing(at: string, value: Thing): Promise<void> {
  switch (value.kind) {
    case 'file':
      expect(Buffer.compare(await readFile(at), value.content)).toBe(0);
      expect((await lstat(at)).mode & 0o777).toBe(value.executable ? 0o555 : 0o444);
      return;
    case 'folder':
      expect((await lstat(at)).isDirectory()).toBe(true);
      return;
    case 'link':
      expect(await readlink(at)).toBe(value.target);
      return;
  }
}
