import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createArtifactStore } from '../../agent/store/artifact/artifacts.ts';
import {
  sweepStaging,
  unpackArtifact,
  verifyRelease,
} from '../../agent/store/release-folder/release-folder.ts';
import { artifactIn, CONFIG, file, inFolder, LIMITS, PACKERS, tarOf } from './archives.ts';

const never = new AbortController().signal;

function fixture(name: string): string {
  return new URL(`./fixtures/${name}`, import.meta.url).pathname;
}

/** Starts a program, waits until it has got somewhere, and kills it without a warning. */
async function killWhen(args: readonly string[], reached: () => Promise<boolean>): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  try {
    await expect.poll(reached, { timeout: 20_000, interval: 5 }).toBe(true);
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

async function count(dir: string): Promise<number> {
  return (await readdir(dir, { recursive: true }).catch(() => [])).length;
}

describe('killed without a warning', () => {
  test('while unpacking, it leaves only staging, which is swept and made again', async () => {
    await inFolder(async (dir) => {
      const files = Array.from({ length: 400 }, (_, index) => file(`app/d${index % 20}/f${index}`));
      const pieces = [file('app/zdd.yaml', CONFIG), ...files];
      const artifact = await artifactIn(dir, PACKERS.gzip(tarOf(pieces)));
      const staging = join(dir, 'staging');
      for (const entries of [1, 50, 200, 400]) {
        await killWhen(
          [fixture('unpack-for-ever.ts'), artifact, dir],
          async () => (await count(staging)) >= entries,
        );
        expect((await readdir(dir)).toSorted()).toEqual(['artifact', 'staging']);
        for (const name of await readdir(staging)) expect(name).toMatch(/^d1(\.root)?$/);
      }
      const { digest } = await unpackArtifact(artifact, join(staging, 'd1'), LIMITS, never);
      expect(await verifyRelease(join(staging, 'd1'), digest)).toBe(true);
      expect(await readdir(staging)).toEqual(['d1']);
      await sweepStaging(staging);
      expect(await readdir(staging)).toEqual([]);
    });
  });

  test('while receiving, it leaves only a temporary file, which is swept', async () => {
    await inFolder(async (dir) => {
      await killWhen([fixture('receive-for-ever.ts'), dir], async () => (await count(dir)) === 1);
      const store = createArtifactStore({ dir, maxBytes: 1, reserveBytes: 0 });
      expect(await store.list()).toEqual([]);
      expect(await store.sweep()).toBe(1);
      expect(await readdir(dir)).toEqual([]);
    });
  });
});

describe('a full disk', () => {
  test('is told as such, whether foreseen or not, and leaves nothing half-done', async () => {
    await inFolder(async (dir) => {
      const disk = join(dir, 'disk');
      await mkdir(disk);
      const config = file('zdd.yaml', CONFIG);
      const archives = {
        large: PACKERS.gzip(tarOf([config, file('large', Buffer.alloc(4_000_000, 'x'))])),
        numerous: PACKERS.gzip(
          tarOf([config, ...Array.from({ length: 300 }, (_, index) => file(`f${index}`, ''))]),
        ),
        seeded: PACKERS.gzip(tarOf([config, file('uploads/large', Buffer.alloc(1_800_000, 'x'))])),
      };
      for (const [name, bytes] of Object.entries(archives)) await writeFile(join(dir, name), bytes);
      const paths = Object.keys(archives).map((name) => join(dir, name));
      const outcome = onTinyDisk(disk, [fixture('on-a-tiny-disk.ts'), disk, ...paths]);
      if (outcome === null) return;
      expect(outcome).toEqual({
        receiveChecked: 'ZDD_DISK_FULL',
        receiveSurprised: 'ZDD_DISK_FULL',
        unpackChecked: 'ZDD_DISK_FULL',
        unpackSurprised: 'ZDD_DISK_FULL',
        unpackOutOfInodes: 'ZDD_DISK_FULL',
        left: [],
        share: 'ZDD_DISK_FULL',
        leftOfShare: [],
        release: 1_800_000,
      });
    });
  });
});

/**
 * Runs a program where `disk` is a real file system of 3 MB, mounted in a namespace of its own that
 * goes with the program. Null, with the reason printed, where the machine allows no such mount.
 */
function onTinyDisk(disk: string, args: readonly string[]): unknown {
  const unshare = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--user', '--map-root-user'];
  const mount = 'mount -t tmpfs -o size=3m,nr_inodes=200 tiny "$0"';
  try {
    execFileSync('unshare', [...unshare, 'sh', '-c', mount, disk], { stdio: 'pipe' });
  } catch (error) {
    console.warn(`not run: no tiny file system can be mounted here: ${String(error)}`);
    return null;
  }
  const program = ['sh', '-c', `${mount} && exec "$@"`, disk, process.execPath, ...args];
  return JSON.parse(execFileSync('unshare', [...unshare, ...program], { encoding: 'utf8' }));
}
