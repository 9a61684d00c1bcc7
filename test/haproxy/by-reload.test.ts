import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import { handsOn } from './hands-on.ts';
import { appOf, type Lab, openLab, shop, soon, until } from './harness.ts';
import { record } from './recorder.ts';

/** What HAProxy gives to a `stats socket` for which nobody asked for more. */
const LOOK_ONLY = 'level operator';

let lab: Lab;

async function open(level: string): Promise<void> {
  lab = await openLab();
  await writeFile(
    lab.options.configPath,
    `global\n  stats socket ${lab.options.adminSocket} mode 600 ${level} expose-fd listeners\n  stats maxconn 100\n`,
  );
  await lab.proxy.open(soon());
}

beforeEach(() => open(LOOK_ONLY));
afterEach(() => lab.close());

const { apply, differences, get, loaded, weights } = handsOn(() => lab);

describe('a HAProxy whose admin socket lets the agent only look', () => {
  it('is found out, and with level admin it is not so', async () => {
    expect(await lab.proxy.info(soon())).toMatchObject({ switchBy: 'reload' });
    await lab.close();
    await open('level admin');
    expect(await lab.proxy.info(soon())).toMatchObject({ switchBy: 'runtime' });
  });

  it('that shows too little even to look is named, and nothing is reloaded for it', async () => {
    await lab.close();
    await expect(open('level user')).rejects.toMatchObject({ code: 'ZDD_HAPROXY_COMMAND' });
  });

  it('switches, rolls back and lets go by reloads, under load, and loses nothing', async () => {
    for (const name of ['r1', 'r2', 'r3']) await loaded(name);
    await apply(shop(lab.server('r1', 100)));
    const load = record(lab.port);
    for (const [old, next] of [
      ['r1', 'r2'],
      ['r2', 'r3'],
      ['r3', 'r1'],
    ] as const) {
      const admitted = await apply(shop(lab.server(old, 100), lab.server(next, 0)));
      expect(admitted).toMatchObject({ reloaded: true, switchMs: 0 });
      const moved = await apply(shop(lab.server(old, 0), lab.server(next, 100)));
      expect(moved.switchMs).toBeGreaterThan(0);
      await until(`${next} answers`, () => load.records.at(-1)?.outcome === `200 ${next}`);
      await apply(shop(lab.server(old, 100), lab.server(next, 0)));
      await apply(shop(lab.server(old, 0), lab.server(next, 100)));
      await until('nobody can reach the old one', async () => {
        const [left] = await lab.proxy.connections('shop', [old], soon());
        return left?.requests === 0 && !left.reachableByOldWorker;
      });
      // It has no weight: that it goes needs no reload, and differs from nothing.
      const gone = await apply(
        shop({ ...lab.server(old, 0), state: 'leaving' }, lab.server(next, 100)),
      );
      expect(gone).toMatchObject({ reloaded: false });
      expect(await apply(shop(lab.server(next, 100)))).toMatchObject({ reloaded: false });
      expect(await differences(shop(lab.server(next, 100)))).toEqual([]);
    }
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });

  it('confirms new servers before old ones go, even when asked for all at once', async () => {
    await loaded('r1');
    await apply(shop(lab.server('r1', 100)));
    await loaded('r2');
    const load = record(lab.port);
    expect(await apply(shop(lab.server('r2', 100)))).toMatchObject({ reloaded: true });
    await until('r2 answers', () => load.records.at(-1)?.outcome === '200 r2');
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });

  it('moves nothing when a server cannot be reached, and the file says what it said', async () => {
    await lab.app('r1');
    await apply(shop(lab.server('r1', 100)));
    const before = await lab.config();
    const room = lab.again({ confirmMs: 300 });
    const wanted = shop(lab.server('r1', 0), lab.server('r2', 100));
    await expect(room.apply(wanted, soon())).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_SERVER_DOWN',
    });
    expect(await lab.config()).toBe(before);
    expect(await get()).toBe('200 r1');
    expect(await differences(shop(lab.server('r1', 100)))).toEqual([]);
  });

  it('gives no request to a server that was down before, until it is up again', async () => {
    await lab.app('r1');
    const weak = await lab.app('r2');
    const both = (more = 0) =>
      shop(
        lab.server('r1', 100),
        lab.server('r2', 100),
        ...(more > 0 ? [lab.server('r3', 0)] : []),
      );
    await apply(both());
    await weak.stop();
    await until('r2 is down', async () => ((await weights())['r2'] ?? '').startsWith('DOWN'));
    await lab.app('r3');
    await apply(both(1));
    // The new worker takes a server for up that it has not checked: without weight it does not matter.
    expect((await weights())['r2']).toMatch(/ 0$/);
    expect(await differences(both(1))).toEqual([]);
    await lab.app('r2');
    await until('r2 may come back', async () => (await differences(both(1))).length > 0);
    await apply(both(1));
    expect((await weights())['r2']).toMatch(/^UP.* 100$/);
  });

  it('brings routes by a reload, and carries them out of an app only then', async () => {
    await lab.app('r1');
    const of = (...hosts: readonly string[]): DesiredProxy => ({
      apps: [appOf('shop', hosts, [lab.server('r1', 100)])],
    });
    await apply(of('a.example.com'));
    expect(await get('b.example.com')).toMatch(/^404 /);
    expect(await apply(of('a.example.com', 'b.example.com'))).toMatchObject({ reloaded: true });
    expect(await get('b.example.com')).toBe('200 r1');
    expect(await differences(of('a.example.com', 'b.example.com'))).toEqual([]);
  });

  it('counts an old release as reachable while an old worker has an idle client', async () => {
    await lab.app('r1');
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100), lab.server('r2', 0)));
    const client = connect(lab.port, '127.0.0.1');
    client.write('GET / HTTP/1.1\r\nHost: any\r\n\r\n');
    expect(String((await once(client, 'data'))[0])).toMatch(/ 200 /);
    await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
    const [held] = await lab.proxy.connections('shop', ['r1'], soon());
    expect(held).toMatchObject({ reachableByOldWorker: true });
    client.end();
    await until('it is free', async () => {
      const [left] = await lab.proxy.connections('shop', ['r1'], soon());
      return left?.reachableByOldWorker === false;
    });
  });
});
