import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sendReload } from '../../agent/haproxy/master.ts';
import { handsOn } from './hands-on.ts';
import { appOf, type Lab, openLab, shop, soon, until } from './harness.ts';
import { record } from './recorder.ts';
import { openTunnel } from './websocket.ts';

let lab: Lab;

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
});

afterEach(() => lab.close());

const { apply, differences, get, loaded, weights } = handsOn(() => lab);

describe('converging', () => {
  it('admits a server without traffic, then moves traffic to it without a reload', async () => {
    await lab.app('r1');
    const admitted = await apply(shop(lab.server('r1', 0)));
    expect(admitted).toMatchObject({ changed: true, reloaded: true, switchMs: 0 });
    // A route is in force while its app can serve.
    expect(await get()).toBe('404 No app answers for this host.\n');
    const switched = await apply(shop(lab.server('r1', 100)));
    expect(switched).toMatchObject({ changed: true, reloaded: false });
    expect(switched.switchMs).toBeGreaterThan(0);
    expect(await get()).toBe('200 r1');
    expect(await lab.config()).toMatch(/server r1 .* weight 100/);
  });

  it('does nothing when everything is so already', async () => {
    await lab.app('r1');
    await apply(shop(lab.server('r1', 100)));
    const before = (await lab.ask('show info')).match(/^Pid: .*$/m)?.[0];
    expect(await apply(shop(lab.server('r1', 100)))).toEqual({
      changed: false,
      reloaded: false,
      switchMs: 0,
    });
    expect((await lab.ask('show info')).match(/^Pid: .*$/m)?.[0]).toBe(before);
    expect(await differences(shop(lab.server('r1', 100)))).toEqual([]);
  });

  it('adds, switches, rolls back, drains and removes under load and loses nothing', async () => {
    for (const name of ['r1', 'r2', 'r3']) await loaded(name);
    await apply(shop(lab.server('r1', 100)));
    const load = record(lab.port);
    for (const [old, next] of [
      ['r1', 'r2'],
      ['r2', 'r3'],
      ['r3', 'r1'],
    ] as const) {
      await apply(shop(lab.server(old, 100), lab.server(next, 0)));
      await apply(shop(lab.server(old, 0), lab.server(next, 100)));
      await until(`${next} answers`, () => load.records.at(-1)?.outcome === `200 ${next}`);
      await apply(shop(lab.server(old, 100), lab.server(next, 0)));
      await apply(shop(lab.server(old, 0), lab.server(next, 100)));
      await until('the old one has no requests', async () => {
        const [left] = await lab.proxy.connections('shop', [old], soon());
        return left?.requests === 0;
      });
      await apply(shop(lab.server(old, 0, 'leaving'), lab.server(next, 100)));
      await apply(shop(lab.server(next, 100)));
    }
    const records = await load.stop();
    expect(records.filter(({ ok }) => !ok)).toEqual([]);
    expect(records.length).toBeGreaterThan(500);
    expect(new Set(records.map(({ kind }) => kind)).size).toBe(6);
    expect(await differences(shop(lab.server('r1', 100)))).toEqual([]);
  });

  it('confirms new servers before old ones go, even when asked for all at once', async () => {
    await loaded('r1');
    await apply(shop(lab.server('r1', 100)));
    const load = record(lab.port);
    await loaded('r2');
    // Another app in the same breath, so that a reload is needed too.
    await lab.app('blog');
    const desired = {
      apps: [
        appOf('blog', ['blog.example.com'], [lab.server('blog', 100)]),
        appOf('shop', ['*'], [lab.server('r2', 100)]),
      ],
    };
    expect(await apply(desired)).toMatchObject({ reloaded: true });
    await until('r2 answers', () => load.records.at(-1)?.outcome === '200 r2');
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
    expect(await get('blog.example.com')).toBe('200 blog');
    expect(await differences(desired)).toEqual([]);
  });

  it('moves nothing and takes everything back when HAProxy cannot reach a server', async () => {
    await lab.app('r1');
    const room = lab.again({ confirmMs: 500 });
    await apply(shop(lab.server('r1', 100)));
    const before = await lab.config();
    const failing = [
      shop(lab.server('r1', 100), lab.server('r2', 0)),
      shop(lab.server('r1', 0), lab.server('r2', 100)),
      shop(lab.server('r2', 100)),
      { apps: [...shop(lab.server('r1', 100)).apps, appOf('blog', ['b'], [lab.server('b', 1)])] },
    ];
    for (const desired of failing) {
      await expect(room.apply(desired, soon())).rejects.toMatchObject({
        code: 'ZDD_HAPROXY_SERVER_DOWN',
        evidence: expect.arrayContaining([
          ['last check', expect.stringMatching(/No such file or directory/)],
        ]),
      });
      expect(await lab.config()).toBe(before);
      expect(await weights()).toEqual({ r1: 'UP 100' });
      expect(await get()).toBe('200 r1');
    }
    expect(await differences(shop(lab.server('r1', 100)))).toEqual([]);
  });

  it('takes a server back whose health answer is not the expected one', async () => {
    await lab.app('r1');
    await apply(shop(lab.server('r1', 100)));
    const room = lab.again({ confirmMs: 500 });
    const desired = shop(lab.server('r1', 100));
    const [app] = desired.apps;
    if (app === undefined) throw new Error('no app');
    await expect(
      room.apply(
        {
          apps: [
            {
              ...app,
              check: { path: '/health', status: 204 },
              servers: [{ ...lab.server('r1', 100), name: 'r2' }],
            },
          ],
        },
        soon(),
      ),
    ).rejects.toMatchObject({
      code: 'ZDD_HAPROXY_SERVER_DOWN',
      evidence: expect.arrayContaining([['last check', expect.stringMatching(/L7STS 200/)]]),
    });
    expect(await get()).toBe('200 r1');
    expect(await differences(desired)).toEqual([]);
  });

  it('checks by connecting when the app has no health path', async () => {
    await lab.app('r1');
    const [app] = shop(lab.server('r1', 100)).apps;
    if (app === undefined) throw new Error('no app');
    await apply({ apps: [{ ...app, check: null }] });
    expect(await get()).toBe('200 r1');
  });

  it('keeps a server with connections in maintenance and deletes it later', async () => {
    await lab.app('r1');
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100)));
    const tunnel = await openTunnel(lab.port);
    await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
    await apply(shop(lab.server('r2', 100)));
    expect(await weights()).toEqual({ r1: 'MAINT 0', r2: 'UP 100' });
    expect(await differences(shop(lab.server('r2', 100)))).toEqual([]);
    await tunnel.echo('still here');
    tunnel.end();
    await until('r1 is deleted', async () => {
      await apply(shop(lab.server('r2', 100)));
      return !('r1' in (await weights()));
    });
  });

  it('replaces a server whose address has changed', async () => {
    await lab.app('r1');
    await lab.app('moved');
    await apply(shop(lab.server('r1', 100)));
    await apply(shop({ ...lab.server('moved', 100), name: 'r1' }));
    expect(await get()).toBe('200 moved');
    expect(await lab.config()).toMatch(/server r1 unix@\S+moved\.sock/);
  });

  it('replaces it even while a WebSocket holds the old one', async () => {
    await lab.app('r1');
    await lab.app('moved');
    await apply(shop(lab.server('r1', 100)));
    const tunnel = await openTunnel(lab.port);
    await apply(shop({ ...lab.server('moved', 100), name: 'r1' }));
    expect(await get()).toBe('200 moved');
    await tunnel.echo('kept by the old worker');
    tunnel.end();
  });

  it('removes servers nobody knows and repairs what was done by hand', async () => {
    await lab.app('r1');
    await lab.app('r2');
    const desired = shop(lab.server('r1', 60), lab.server('r2', 40));
    await apply(desired);
    await lab.ask(`add server zdd_shop/stray unix@${lab.folder}/r1.sock`);
    await lab.ask('set server zdd_shop/stray state ready');
    await lab.ask('set server zdd_shop/r1 weight 7');
    await lab.ask('set server zdd_shop/r2 state drain');
    expect(await differences(desired)).toEqual([
      'shop/r2: in drain, wanted ready',
      'shop/r1: weight 7, wanted 60',
      'shop/stray: not wanted',
    ]);
    await apply(desired);
    expect(await weights()).toEqual({ r1: 'UP 60', r2: 'UP 40' });
    await lab.ask('set server zdd_shop/r1 state maint');
    await apply(desired);
    expect(await weights()).toEqual({ r1: 'UP 60', r2: 'UP 40' });
  });

  it('names an edit inside the managed region and writes it anew', async () => {
    await lab.app('r1');
    await apply(shop(lab.server('r1', 100)));
    const good = await lab.config();
    await writeFile(lab.options.configPath, good.replace('weight 100', 'weight 99'));
    const [said] = await differences(shop(lab.server('r1', 100)));
    const line = good.split('\n').findIndex((text) => text.includes('weight 100')) + 1;
    expect(said).toBe(`haproxy.cfg: managed region differs from line ${line} on`);
    await apply(shop(lab.server('r1', 100)));
    expect(await lab.config()).toBe(good);
  });

  it('comes to the same end when an admin reloads in the middle, and loses nothing', async () => {
    for (const name of ['r1', 'r2']) await loaded(name);
    await apply(shop(lab.server('r1', 100)));
    const load = record(lab.port);
    const { master } = lab;
    let reloading = true;
    const admin = (async () => {
      for (; reloading; await sleep(150)) await sendReload(master, soon());
    })();
    try {
      for (let n = 0; n < 3; n += 1) {
        const [old, next] = n % 2 === 0 ? (['r1', 'r2'] as const) : (['r2', 'r1'] as const);
        await apply(shop(lab.server(old, 100), lab.server(next, 0)));
        await apply(shop(lab.server(old, 0), lab.server(next, 100)));
      }
    } finally {
      reloading = false;
      await admin;
    }
    await until('it is at rest', async () => {
      await apply(shop(lab.server('r1', 0), lab.server('r2', 100)));
      return (await differences(shop(lab.server('r1', 0), lab.server('r2', 100)))).length === 0;
    });
    expect(await get()).toBe('200 r2');
    expect((await load.stop()).filter(({ ok }) => !ok)).toEqual([]);
  });

  it('lets a reload move no traffic', async () => {
    await lab.app('r1');
    await lab.app('r2');
    await apply(shop(lab.server('r1', 100), lab.server('r2', 0)));
    // Somebody swaps the weights in a state that needs a reload for another reason.
    const desired = {
      apps: [
        appOf('blog', ['b.example.com'], []),
        appOf('shop', ['*'], [lab.server('r1', 0), lab.server('r2', 100)]),
      ],
    };
    const applied = await apply(desired);
    expect(applied.reloaded).toBe(true);
    expect(applied.switchMs).toBeGreaterThan(0);
    expect(await get()).toBe('200 r2');
  });

  it('routes exact hosts before wildcards before every host', async () => {
    for (const name of ['exact', 'deep', 'wild', 'all']) await lab.app(name);
    await apply({
      apps: [
        appOf('all', ['*'], [lab.server('all', 1)]),
        appOf('wild', ['*.example.com'], [lab.server('wild', 1)]),
        appOf('deep', ['*.eu.example.com'], [lab.server('deep', 1)]),
        appOf('exact', ['shop.eu.example.com'], [lab.server('exact', 1)]),
      ],
    });

    expect(await get('SHOP.eu.example.com:8080')).toBe('200 exact');
    expect(await get('x.eu.example.com')).toBe('200 deep');
    expect(await get('x.example.com')).toBe('200 wild');
    expect(await get('example.com')).toBe('200 all');
  });

  it('says that nobody answers for a host that no app has', async () => {
    await lab.app('r1');
    await apply({ apps: [appOf('shop', ['shop.example.com'], [lab.server('r1', 1)])] });

    expect(await get('other.example.com')).toBe('404 No app answers for this host.\n');
  });
});
