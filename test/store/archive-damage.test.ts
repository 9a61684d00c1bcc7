import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ZddError } from '../../agent/protocol/errors.ts';
import { readAppConfig } from '../../agent/store/artifact/artifacts.ts';
import { unpackArtifact, verifyRelease } from '../../agent/store/release-folder/release-folder.ts';
import {
  artifactIn,
  CONFIG,
  inFolder,
  LIMITS,
  PACKERS,
  SMALL,
  tarOf,
  xzFixture,
} from './archives.ts';

const never = new AbortController().signal;
const tar = tarOf(SMALL);
const PACKED: Readonly<Record<string, Buffer>> = {
  tar: PACKERS.tar(tar),
  gzip: PACKERS.gzip(tar),
  zstd: PACKERS.zstd(tar),
  xz: xzFixture().packed,
};

/** The digest of what was unpacked, or the code of the error; in that case nothing may be left. */
async function outcome(bytes: Buffer): Promise<string> {
  return await inFolder(async (dir) => {
    const staging = join(dir, 'staging', 'd1');
    try {
      const { digest } = await unpackArtifact(await artifactIn(dir, bytes), staging, LIMITS, never);
      expect(await verifyRelease(staging, digest)).toBe(true);
      return digest;
    } catch (error) {
      if (!(error instanceof ZddError)) throw error;
      expect(await readdir(join(dir, 'staging'))).toEqual([]);
      return error.code;
    }
  });
}

describe('an archive cut short is refused wherever it is cut', () => {
  for (const [format, bytes] of Object.entries(PACKED)) {
    test(format, async () => {
      const blocks = Math.floor(bytes.length / 512);
      const cuts = new Set([
        ...Array.from({ length: blocks }, (_, block) => block * 512),
        ...Array.from({ length: 60 }, (_, part) => Math.floor((bytes.length * part) / 60)),
        ...Array.from({ length: 20 }, (_, back) => bytes.length - 1 - back),
      ]);
      for (const cut of cuts) {
        const code = await outcome(bytes.subarray(0, cut));
        const expected = ['ZDD_ARTIFACT_CORRUPT'];
        // Too little is left to tell what it was.
        if (cut === 0) expected.push('ZDD_ARTIFACT_EMPTY');
        if (cut < 512) expected.push('ZDD_ARTIFACT_UNKNOWN_FORMAT');
        expect(expected, `cut at ${cut}`).toContain(code);
      }
    });
  }

  test('reading only its zdd.yaml, it is refused or right', async () => {
    for (const bytes of Object.values(PACKED)) {
      for (let cut = 0; cut < bytes.length; cut += 37) {
        await inFolder(async (dir) => {
          const path = await artifactIn(dir, bytes.subarray(0, cut));
          const text = await readAppConfig(path).then(
            (found) => found.text,
            (error: unknown) => (error instanceof ZddError ? error.code : 'not ours'),
          );
          expect(text === CONFIG || text.startsWith('ZDD_ARTIFACT_')).toBe(true);
        });
      }
    }
  });
});

describe('an archive with wrong bits', () => {
  for (const [format, bytes] of Object.entries(PACKED)) {
    test(`is refused or harmless: ${format}`, async () => {
      const intact = await outcome(bytes);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ at: fc.nat(bytes.length - 1), bit: fc.nat(7) }), {
            minLength: 1,
            maxLength: 3,
          }),
          async (flips) => {
            const damaged = Buffer.from(bytes);
            for (const { at, bit } of flips) damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
            const result = await outcome(damaged);
            // A plain tar has checksums for its headers only: the digest of the upload covers the rest.
            if (format === 'tar') expect(result).toMatch(/^ZDD_(ARTIFACT|CONFIG)_|^[0-9a-f]{64}$/);
            else expect(result === intact || result.startsWith('ZDD_ARTIFACT_')).toBe(true);
          },
        ),
        { numRuns: 60 },
      );
    });
  }

  test('and bytes of no meaning are refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('', '1f8b0800', '28b52ffd', 'fd377a585a0000'),
        fc.uint8Array({ maxLength: 2000 }),
        async (magic, rest) => {
          const bytes = Buffer.concat([Buffer.from(magic, 'hex'), rest]);
          expect(await outcome(bytes)).toMatch(/^ZDD_ARTIFACT_(CORRUPT|UNKNOWN_FORMAT|EMPTY)$/);
        },
      ),
      { numRuns: 80 },
    );
  });
});
