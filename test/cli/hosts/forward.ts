import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

/**
 * What `ssh -N -L <local socket>:<socket> <host>` does for one host, without a network: leads to
 * `<folder>/<host>.sock`. So each host of a test has an agent of its own.
 */
const [folder = '', ...words] = process.argv.slice(2);
const local = (words[words.indexOf('-L') + 1] ?? '').split(':')[0] ?? '';
const host = (words.at(-1) ?? '').replace(/^.*@/, '');
const target = join(folder, `${host}.sock`);

if (existsSync(target)) {
  createServer((near) => {
    const far = connect(target);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far).pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }).listen(local);
} else {
  process.stderr.write(`ssh: connect to host ${host} port 22: No route to host\n`);
  process.exitCode = 255;
}
