import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { BY_RELOAD, push } from './shop.ts';

/** Found within 5 s, says the promise; tests are not told apart by a busy machine. */
const FOUND_MS = 15_000;

let host: PrivateHost;
let load: Load;
const others: PrivateHost[] = [];

/** An app with a warm old release, so that even an admin's mistake need not lose a request. */
beforeEach(async () => {
  host = await PrivateHost.start();
  const config = { bake: '200ms', warm: '1h', processes: { worker: null } };
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
  before = await readFile(cfg(), 'utf8');
  expect((await push(host, { behaviour: { version: 'v2' }, config })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 60 });
  await load.ready(20_000);
});
afterEach(async () => {
  await load.stop();
  for (const other of others.splice(0)) await other.remove();
  await host.remove();
});

/** What haproxy.cfg said while v1 served. */
let before: string;
const cfg = (): string => join(host.stateDir, 'haproxy/haproxy.cfg');

async function drifts(): Promise<{ what: string; repaired: boolean }[]> {
  return (await host.events()).filter((event) => event.type === 'drift');
}

async function drift(pattern: RegExp): Promise<void> {
  await host.until(`drift ${pattern}`, FOUND_MS, async () =>
    (await drifts()).some(({ what }) => pattern.test(what)),
  );
}

async function attention(): Promise<string> {
  return JSON.stringify(await host.api('GET', '/v1/status'));
}

async function agrees(): Promise<void> {
  await host.until('journal, file and HAProxy to agree', FOUND_MS, async () => {
    const { stdout } = await host.cli(['doctor']);
    return stdout.includes('agree');
  });
}

async function lossless(): Promise<void> {
  expect((await load.stop()).losses).toEqual([]);
}

async function weightOf(server: string): Promise<number> {
  const rows = (await host.ask('show stat zdd_shop 4 -1')).split('\n');
  const columns = rows[0]?.split(',') ?? [];
  const row = rows.find((line) => line.split(',')[1] === server)?.split(',');
  return Number(row?.[columns.indexOf('weight')]);
}

test('reloaded with an older file: traffic comes back to the release that serves', async () => {
  await writeFile(cfg(), before);
  await host.askMaster('reload');
  await drift(/r2-d2-web-1/);
  await agrees();
  expect(await weightOf('r2-d2-web-1')).toBe(100);
  expect(await weightOf('r1-d1-web-1')).toBe(0);
  await lossless();
});

test('haproxy.cfg deleted, replaced, and edited beside the region', async () => {
  await rm(cfg());
  await drift(/haproxy\.cfg: missing/);
  await agrees();
  await writeFile(cfg(), (await readFile(cfg(), 'utf8')).split('# >>> zdd-agent')[0] ?? '');
  await drift(/haproxy\.cfg: no managed region/);
  await agrees();
  const known = (await drifts()).length;
  await appendFile(cfg(), '# of the admin\n');
  await agrees();
  expect(await readFile(cfg(), 'utf8')).toContain('# of the admin\n');
  expect((await drifts()).length).toBe(known);
  await lossless();
});

test('a mistake of the admin is shown in status with its line, and nothing is fought over', async () => {
  await appendFile(cfg(), 'nonsense here\n');
  await host.ask('set server zdd_shop/r1-d1-web-1 weight 1');
  // No reload can put it right while the file is broken.
  if (!BY_RELOAD) await drift(/r1-d1-web-1: weight 1, wanted 0/);
  await writeFile(cfg(), (await readFile(cfg(), 'utf8')).replace(/weight 100/g, 'weight 99'));
  await host.until('status to name the line', FOUND_MS, async () =>
    /ZDD_HAPROXY_CONFIG_INVALID.*nonsense/.test(await attention()),
  );
  await writeFile(cfg(), (await readFile(cfg(), 'utf8')).replace('nonsense here\n', ''));
  await agrees();
  expect(await attention()).not.toContain('ZDD_HAPROXY_CONFIG_INVALID');
  await lossless();
});

test('what comes back again and again is left alone, told once, and status says who wins', async () => {
  const undo = async (): Promise<boolean> => {
    await host.ask('set server zdd_shop/r1-d1-web-1 weight 1');
    return (await drifts()).some(({ repaired }) => !repaired);
  };
  await host.until('the agent to rest', 60_000, undo);
  const told = await drifts();
  expect(told.filter(({ repaired }) => repaired).length).toBeLessThanOrEqual(2 * 3);
  expect(await attention()).toMatch(/somebody else brings this back.*wins until/);
  // Another difference is repaired all the same.
  await host.ask('set server zdd_shop/r2-d2-web-1 state drain');
  await drift(/r2-d2-web-1: in drain, wanted ready/);
  await lossless();
});

test('two agents by mistake: the second changes nothing, and says whose HAProxy it is', async () => {
  const inState = (name: string): string => join(host.stateDir, 'haproxy', name);
  const inRun = (name: string): string => join(host.dir, 'run', name);
  const other = await PrivateHost.prepare({
    settings: {
      haproxy: {
        mode: 'system',
        config: inState('haproxy.cfg'),
        admin_socket: inRun('haproxy-admin.sock'),
        master_socket: inRun('haproxy-master.sock'),
        bind: [new URL(host.url).host],
      },
    },
  });
  others.push(other);
  await other.startDaemon();
  const { code, stderr } = await push(other, { behaviour: { version: 'x' } });
  expect(code).toBe(20);
  expect(stderr).toContain('ZDD_HAPROXY_IN_USE');
  expect(stderr).toContain(`pid ${host.daemonPid}`);
  // Not even while the first is being restarted.
  await host.stopDaemon('SIGKILL');
  await other.until('its status to say so', 2 * FOUND_MS, async () => {
    const status = JSON.stringify(await other.api('GET', '/v1/status'));
    return status.includes('ZDD_HAPROXY_IN_USE') && status.includes('does not run now');
  });
  await host.startDaemon();
  await agrees();
  expect(await drifts()).toEqual([]);
  await lossless();
});
