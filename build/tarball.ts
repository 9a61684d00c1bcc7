import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { sums } from './stage.ts';

/** What lies at the top of the tarball, beside `usr/`. */
const TOP = [
  { name: 'install.sh', from: 'usr/lib/zdd-agent/install.sh', mode: 0o755 },
  { name: 'VERSION', from: 'usr/lib/zdd-agent/VERSION', mode: 0o644 },
  { name: 'LICENSE', from: 'usr/share/doc/zdd-agent/copyright', mode: 0o644 },
] as const;

/**
 * Packs the folder `name` of `parent`, which holds a staged `usr/`, with its checksums.
 * The same tree and the same date make the same bytes: sorted, root's, no time of building.
 */
export async function packTarball(
  parent: string,
  name: string,
  date: Date,
  output: string,
): Promise<void> {
  const folder = join(parent, name);
  for (const { name: file, from, mode } of TOP) {
    await copyFile(join(folder, from), join(folder, file));
    await chmod(join(folder, file), mode);
  }
  const checksums = join(folder, 'SHA256SUMS');
  await writeFile(checksums, await sums(folder, 'sha256'));
  await chmod(checksums, 0o644);
  await chmod(folder, 0o755);
  const tar = spawn(
    'tar',
    [
      '--create',
      '--format=ustar',
      '--sort=name',
      '--owner=root:0',
      '--group=root:0',
      `--mtime=${date.toISOString()}`,
      `--directory=${parent}`,
      name,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'], LC_ALL: 'C' } },
  );
  const ended = once(tar, 'exit');
  await pipeline(tar.stdout, createGzip({ level: 6 }), createWriteStream(output));
  const [code] = await ended;
  if (code !== 0) throw new Error(`tar ended with ${code}`);
}
