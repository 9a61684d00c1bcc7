import { chmod, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { push, QUICK, settled } from './shop.ts';

const hosts: PrivateHost[] = [];
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.remove();
});

async function started(settings: Record<string, unknown> = {}): Promise<PrivateHost> {
  const host = await PrivateHost.start({ settings });
  hosts.push(host);
  return host;
}

async function masterPid(host: PrivateHost): Promise<number> {
  const text = await readFile(join(host.stateDir, 'haproxy/haproxy.process.json'), 'utf8');
  const { pid }: { pid: number } = JSON.parse(text);
  return pid;
}

test('an HAProxy that is too old is refused before anything begins', async () => {
  const prepared = await PrivateHost.prepare();
  hosts.push(prepared);
  const old = join(prepared.dir, 'haproxy-2.4');
  await writeFile(old, '#!/bin/sh\necho "HAProxy version 2.4.22-1 2023/02/14"\n');
  await chmod(old, 0o755);
  const yaml = await readFile(join(prepared.dir, 'agent.yaml'), 'utf8');
  await writeFile(
    join(prepared.dir, 'agent.yaml'),
    yaml.replace('mode: embedded', `mode: embedded\n  binary: ${old}`),
  );
  await prepared.startDaemon();
  const { code, stderr } = await push(prepared, { behaviour: { version: 'v1' } });
  expect(stderr).toMatch(/ZDD_HAPROXY_(TOO_OLD|DOWN)/);
  expect(code).toBe(20);
  expect(await prepared.log()).toContain('2.4.22');
});

test('no HAProxy at all: the push is refused, and no instance is started for it', async () => {
  const host = await started({ haproxy: { mode: 'system', bind: ['127.0.0.1:1'] } });
  const { code, stderr } = await push(host, { behaviour: { version: 'v1' } });
  expect(stderr).toContain('ZDD_HAPROXY_DOWN');
  expect(stderr).toContain('Try:');
  expect(code).toBe(20);
  expect(await host.events()).toEqual([]);
});

test('HAProxy killed while a release bakes comes back with the right servers', async () => {
  const host = await started();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  await push(host, { behaviour: { version: 'v2' }, config: { bake: '3s' } }, ['--detach']);
  await host.until('it to bake', 20_000, async () => {
    const app = await host.app('shop');
    return app?.deployment?.phase === 'baking';
  });
  process.kill(await masterPid(host), 'SIGKILL');
  await host.receipt('shop', 2);
  const load = startLoad({ url: host.url, rate: 100 });
  await load.ready(20_000);
  await settled(host);
  expect((await load.stop()).losses).toEqual([]);
});

test('a weight set by hand is found and put right', async () => {
  const host = await started();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  await settled(host);

  await new Promise<void>((resolve, reject) => {
    const socket = connect(join(host.dir, 'run/haproxy-admin.sock'));
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.end('set server zdd_shop/r1-d1-web-1 weight 0\n');
    socket.resume();
  });
  const drift = await host.until('the drift to be told', 20_000, async () =>
    (await host.events()).find(({ type }) => type === 'drift'),
  );
  expect(JSON.stringify(drift)).toContain('r1-d1-web-1');
  await host.until('it to be put right', 10_000, async () => {
    const { stdout } = await host.cli(['doctor']);
    return stdout.includes('agree');
  });
});

test('two apps on one host: a switch of one does not touch the other', async () => {
  const host = await started();
  const other = { app: 'other', routes: ['other.example.com'], ...QUICK };
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  expect((await push(host, { behaviour: { version: 'o1' }, config: other })).code).toBe(0);
  const load = startLoad({ url: host.url, hostHeader: 'other.example.com', rate: 100 });
  await load.ready(20_000);
  expect((await push(host, { behaviour: { version: 'v2' } })).code).toBe(0);
  expect((await push(host, { behaviour: { version: 'o2' }, config: other })).code).toBe(0);
  const taken = await push(host, {
    behaviour: { version: 'x1' },
    config: { ...other, app: 'third' },
  });
  expect(taken.code).toBe(10);
  expect(taken.stderr).toContain('ZDD_ROUTE_CONFLICT');
  expect(taken.stderr).toContain('other');
  expect((await load.stop()).losses).toEqual([]);
});
