import { join } from 'node:path';
import { createProxy } from '../../agent/haproxy/haproxy.ts';
import { Copies } from '../../agent/pipeline/copies.ts';

/**
 * What the agent does while it shadows, in a process of its own, so that it can be stopped and
 * killed: `node agent.ts FOLDER SHARE`.
 */
const [folder = '', share = ''] = process.argv.slice(2);
const proxy = createProxy({
  mode: 'system',
  binary: 'haproxy',
  configPath: join(folder, 'haproxy.cfg'),
  adminSocket: join(folder, 'admin.sock'),
  masterSocket: join(folder, 'master.sock'),
  bind: () => [],
  workDir: folder,
  log: () => undefined,
});
const candidate = join(folder, 'candidate.sock');
const copies = new Copies({
  listens: [{ kind: 'unix', path: candidate, activation: false }],
  timeoutMs: 5_000,
});
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());
await proxy.mirror(
  { app: 'shop', share: Number(share), seen: (copy) => copies.offer(copy) },
  ending.signal,
);
await copies.close();
await proxy.close();
console.log(`copied ${copies.tally.pairs} dropped ${copies.dropped} failed ${copies.tally.failed}`);
