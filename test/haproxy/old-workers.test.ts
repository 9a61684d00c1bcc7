import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import { appOf, type Lab, openLab, shop, soon, until } from './harness.ts';
import { openTunnel, type Tunnel } from './websocket.ts';

let lab: Lab;
let limit: number;
let shapes: number;
const tunnels: Tunnel[] = [];

beforeEach(async () => {
  limit = 2;
  shapes = 0;
  lab = await openLab({ maxOldWorkers: () => limit, workersMs: 300 });
  await lab.proxy.open(soon());
  await lab.app('r1');
  await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
});

afterEach(async () => {
  for (const tunnel of tunnels.splice(0)) tunnel.end();
  await lab.close();
});

/** The same servers in another shape each time: only a reload brings it. */
function newShape(): DesiredProxy {
  shapes += 1;
  const check = { path: `/health?${shapes}`, status: 200 };
  return {
    apps: [...shop(lab.server('r1', 100)).apps, { ...appOf('extra', ['x.test'], []), check }],
  };
}

async function hold(): Promise<Tunnel> {
  const tunnel = await openTunnel(lab.port);
  tunnels.push(tunnel);
  return tunnel;
}

const oldPids = async (): Promise<readonly number[]> => (await lab.proxy.oldWorkers(soon())).old;

describe('old workers', () => {
  it('are gone at once when they hold nothing', async () => {
    for (let reloads = 0; reloads < 5; reloads += 1) await lab.proxy.apply(newShape(), soon());
    await until('all of them have ended', async () => (await oldPids()).length === 0, 3_000);
  });

  it('are told oldest first, with what is long on each', async () => {
    await hold();
    await lab.proxy.apply(newShape(), soon());
    const [first] = await oldPids();
    await hold();
    await hold();
    await lab.proxy.apply(newShape(), soon());
    const old = await oldPids();
    expect(old).toHaveLength(2);
    expect(old[0]).toBe(first);
    const held = await Promise.all(old.map((pid) => lab.proxy.longConnections(pid, soon())));
    expect(held.map((some) => some.length)).toEqual([1, 2]);
  });

  it('do not pile up: a reload of ours waits until one has ended, and says so if none does', async () => {
    for (const _ of ['first', 'second']) {
      await hold();
      await lab.proxy.apply(newShape(), soon());
    }
    const before = await lab.config();
    await expect(lab.proxy.apply(newShape(), soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_TOO_MANY_WORKERS',
    });
    expect(await lab.config(), 'nothing was changed for it').toBe(before);
    // A switch needs no reload, so it does not wait.
    await lab.app('r2');
    const refused = newShape();
    shapes = 1;
    const [, extra] = newShape().apps;
    if (extra === undefined) throw new Error('no second app');
    const [app] = shop(lab.server('r1', 100), lab.server('r2', 0)).apps;
    if (app === undefined) throw new Error('no app');
    await expect(lab.proxy.apply({ apps: [app, extra] }, soon())).resolves.toMatchObject({
      reloaded: false,
    });
    limit = 3;
    await expect(lab.proxy.apply(refused, soon())).resolves.toMatchObject({ reloaded: true });
  });

  it('let a waiting reload go on as soon as one of them ends', async () => {
    const patient = lab.again({ workersMs: 20_000 });
    const first = await hold();
    await lab.proxy.apply(newShape(), soon());
    await hold();
    await lab.proxy.apply(newShape(), soon());
    const waiting = patient.apply(newShape(), soon());
    first.end();
    await expect(waiting).resolves.toMatchObject({ reloaded: true });
  });
});
