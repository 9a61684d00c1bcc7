import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { entriesOf, sums } from './stage.ts';

const run = promisify(execFile);

/**
 * Makes the .deb of a folder that holds a staged `usr/`. There are no conffiles: what lies in /etc
 * is written by install.sh, and the package has nothing there.
 * @param templates the folder of the control file and the maintainer scripts
 */
export async function packDeb(
  folder: string,
  templates: string,
  version: string,
  date: Date,
  output: string,
): Promise<void> {
  const control = join(folder, 'DEBIAN');
  const size = await kibibytes(folder);
  const md5sums = await sums(folder, 'md5');
  await mkdir(control);
  await place(control, 'md5sums', md5sums, 0o644);
  for (const name of (await readdir(templates)).sort()) {
    const text = await readFile(join(templates, name), 'utf8');
    if (name === 'control') {
      const filled = text.replace('@VERSION@', version).replace('@INSTALLED_SIZE@', String(size));
      await place(control, name, filled, 0o644);
    } else {
      await place(control, name, text, 0o755);
    }
  }
  await chmod(control, 0o755);
  await chmod(folder, 0o755);
  await run(
    'dpkg-deb',
    // The number of threads shows in the bytes: it is fixed, whatever the machine has.
    ['--root-owner-group', '-Zzstd', '-z9', '--threads-max=2', '--build', folder, output],
    {
      env: {
        PATH: process.env['PATH'],
        LC_ALL: 'C',
        SOURCE_DATE_EPOCH: String(date.getTime() / 1_000),
      },
    },
  );
}

async function place(folder: string, name: string, text: string, mode: number): Promise<void> {
  await writeFile(join(folder, name), text);
  await chmod(join(folder, name), mode);
}

/** As dpkg counts: every file rounded up to a KiB, one KiB for everything else (deb-substvars(5)). */
async function kibibytes(folder: string): Promise<number> {
  const sizes = (await entriesOf(folder)).map(async ({ path, kind }) =>
    kind === 'file' ? Math.ceil((await stat(join(folder, path))).size / 1_024) : 1,
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
