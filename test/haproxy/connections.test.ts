import { Agent, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import type { ServerConnections } from '../../agent/haproxy/proxy.ts';
import { appOf, type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';
import { openTunnel } from './websocket.ts';

let lab: Lab;
/** Makes the next `apply` reload: each call adds an app without servers. */
let extraApps: string[];

beforeEach(async () => {
  lab = await openLab();
  extraApps = [];
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

const apply = (desired: DesiredProxy) =>
  lab.proxy.apply(
    { apps: [...desired.apps, ...extraApps.map((name) => appOf(name, [`${name}.test`], []))] },
    soon(),
  );
async function reloadWith(desired: DesiredProxy): Promise<void> {
  extraApps.push(`extra${extraApps.length}`);
  expect(await apply(desired)).toMatchObject({ reloaded: true });
}
async function of(server: string): Promise<ServerConnections> {
  const [found] = await lab.proxy.connections('shop', [server], soon());
  if (found === undefined) throw new Error('no answer');
  return found;
}
const get = (agent: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: lab.port, agent }, (response) => {
      response.resume().on('end', () => resolve(String(response.headers['x-release'])));
    })
      .on('error', reject)
      .end();
  });

describe('connections', () => {
  it('tells requests in flight from WebSockets', async () => {
    const held: (() => void)[] = [];
    await lab.app('r1', (_, response) => held.push(() => response.end('done')));
    await apply(shop(lab.server('r1', 100)));
    const tunnels = [await openTunnel(lab.port), await openTunnel(lab.port)];
    const agent = new Agent();
    const answers = [get(agent), get(agent), get(agent)];
    await until('three requests are in flight', () => held.length === 3);
    expect(await of('r1')).toEqual({
      server: 'r1',
      requests: 3,
      websockets: 2,
      streams: 0,
      reachableByOldWorker: false,
    });
    for (const end of held) end();
    await Promise.all(answers);
    await until('only WebSockets are left', async () => (await of('r1')).requests === 0);
    expect((await of('r1')).websockets).toBe(2);
    for (const tunnel of tunnels) tunnel.end();
    await until('nothing is left', async () => (await of('r1')).websockets === 0);
  });

  it('knows nothing of a server or an app that HAProxy does not have', async () => {
    const none = { requests: 0, websockets: 0, streams: 0, reachableByOldWorker: false };
    expect(await lab.proxy.connections('nobody', ['r9'], soon())).toEqual([
      { server: 'r9', ...none },
    ]);
    expect(await lab.proxy.counters('nobody', soon())).toEqual({
      worker: null,
      requests: 0,
      responses5xx: 0,
      turnedAway: 0,
      current: 0,
      servers: new Map(),
    });
  });

  it('counts and closes WebSockets on the current and on old workers, and cuts no request', async () => {
    const held: (() => void)[] = [];
    await lab.app('r1', (_, response) => held.push(() => response.end('done')));
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100)));
    const onOld = [await openTunnel(lab.port), await openTunnel(lab.port)];
    const agent = new Agent();
    const answer = get(agent);
    await until('a request is in flight', () => held.length === 1);
    await reloadWith(shop(lab.server('r1', 100)));
    const onNew = [await openTunnel(lab.port), await openTunnel(lab.port)];
    await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
    expect((await lab.proxy.info(soon())).oldWorkers).toBe(1);
    expect(await of('r1')).toMatchObject({
      requests: 1,
      websockets: 4,
      reachableByOldWorker: true,
    });
    for (const tunnel of [...onOld, ...onNew]) await tunnel.echo('alive');
    const open = await lab.proxy.openConnections('shop', ['r1'], soon());
    expect(open.filter(({ isOld }) => isOld).map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['tunnel', 'tunnel', 'request']),
    );
    const tunnels = open.filter(({ kind }) => kind === 'tunnel');
    expect(tunnels).toHaveLength(4);
    const [first] = tunnels;
    if (first === undefined) throw new Error('no tunnel');
    expect(await lab.proxy.closeConnections([first], soon())).toBe(1);
    await until('one is closed', async () => (await of('r1')).websockets === 3);
    expect(await lab.proxy.openConnections('shop', ['r2'], soon())).toEqual([]);
    // The first one's name may be another stream's by now: it is not closed a second time.
    expect(await lab.proxy.closeConnections(tunnels, soon())).toBe(3);
    await until('all are closed', () => [...onOld, ...onNew].every(({ closed }) => closed));
    for (const end of held) end();
    expect(await answer).toBe('r1');
    await until('nothing reaches r1', async () => {
      const left = await of('r1');
      return left.requests + left.websockets === 0 && !left.reachableByOldWorker;
    });
    await until('the old worker has ended', async () => {
      return (await lab.proxy.info(soon())).oldWorkers === 0;
    });
  });

  it('says that an idle client of an old worker may bring one more request, and it does', async () => {
    const old = await lab.app('r1');
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100)));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await get(agent)).toBe('r1');
    await reloadWith(shop(lab.server('r1', 100)));
    await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
    expect(await of('r1')).toMatchObject({ requests: 0, reachableByOldWorker: true });
    expect((await of('r2')).reachableByOldWorker).toBe(false);
    // The old worker keeps its weights: this is the request it was kept alive for.
    expect(await get(agent)).toBe('r1');
    expect(old.seen.length).toBe(2);
    await until('the old worker has nobody left', async () => {
      return !(await of('r1')).reachableByOldWorker;
    });
    expect(await get(agent)).toBe('r2');
    agent.destroy();
  });

  it('does not take a WebSocket of an old worker for a client that may ask again', async () => {
    await lab.app('r1');
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100), lab.server('r2', 0)));
    await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
    const tunnel = await openTunnel(lab.port);
    await apply(shop(lab.server('r1', 100), lab.server('r2', 0)));
    await reloadWith(shop(lab.server('r1', 100), lab.server('r2', 0)));
    expect((await lab.proxy.info(soon())).oldWorkers).toBe(1);
    expect((await of('r1')).reachableByOldWorker).toBe(false);
    expect(await of('r2')).toMatchObject({ websockets: 1, reachableByOldWorker: true });
    tunnel.end();
  });
});

describe('counters', () => {
  it('keeps apart what the app answered and what HAProxy answered', async () => {
    const app = await lab.app('r1', (incoming, response) => {
      response.statusCode = incoming.url === '/bad' ? 500 : 200;
      response.end();
    });
    await apply(shop(lab.server('r1', 100)));
    for (const path of ['/', '/', '/bad']) await rawGet(lab.port, 'shop', path);
    const before = await lab.proxy.counters('shop', soon());
    expect(before).toMatchObject({ requests: 3, responses5xx: 1 });
    expect(before.servers.get('r1')).toEqual({
      requests: 3,
      responses5xx: 1,
      failed: 0,
      saved: 0,
      settled: 3,
      current: 0,
      status: 'UP',
    });
    await app.stop();
    expect(await rawGet(lab.port, 'shop')).toMatch(/^HTTP\/1\.1 503 /);
    const after = await lab.proxy.counters('shop', soon());
    expect(after).toMatchObject({ requests: 4, responses5xx: 2 });
    expect(after.servers.get('r1')?.responses5xx).toBe(1);
    expect(after.servers.get('r1')?.failed).toBeGreaterThan(0);
  });
});
