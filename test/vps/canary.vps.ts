import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Load } from '../../load/load.ts';
import { Crowd } from '../deploys/users.ts';
import { DISTRIBUTIONS, VpsHost } from './lab/host.ts';
import { goesOn, Shop } from './lab/shop.ts';

describe.each(DISTRIBUTIONS)('a canary, and a rolling release, on %s', (distribution) => {
  let host: VpsHost;
  let shop: Shop;
  let load: Load;
  let crowd: Crowd;

  beforeAll(async () => {
    host = await VpsHost.installed(distribution, 'canary');
    shop = new Shop(host);
    await shop.deploy('first');
    load = await shop.load();
    crowd = new Crowd(host.url, 100, 300);
  });
  afterAll(async () => {
    await crowd?.stop();
    await load?.stop();
    await host?.down();
  });

  test('a share of the users grows, sends nobody back, and loses nothing', async () => {
    const { code, stdout, stderr } = await shop.push({
      behaviour: { version: 'second' },
      config: {
        strategy: [{ weight: '30%' }, { hold: '3s' }, { weight: '70%' }, { hold: '2s' }],
      },
    });
    expect(code, stdout + stderr).toBe(0);
    const live = (await shop.app())?.live;
    let onCanary = 0;
    for (const { visits } of crowd.users) {
      expect(visits.every(({ status }) => status === 200)).toBe(true);
      const first = visits.findIndex(({ release }) => release === live);
      if (first < 0) continue;
      onCanary += 1;
      expect(visits.slice(first).every(({ release }) => release === live)).toBe(true);
    }
    expect(onCanary).toBeGreaterThan(50);
    await shop.settled();
    await goesOn(load);
    expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0, websocketsCutEarly: 0 });
  });

  test('one that fails comes back by itself', async () => {
    const live = (await shop.app())?.live;
    const { code, stdout, stderr } = await shop.push({
      behaviour: { version: 'bad', failAfterRequests: 30, share: 0.2 },
      // The example's own checks might not let it come so far.
      config: {
        strategy: [{ weight: '30%' }, { hold: '5m' }],
        smoke: [{ path: '/', when: 'before' }],
      },
    });
    expect(code, stdout + stderr).toBe(21);
    expect(stderr).toContain('at 30 % of the users');
    expect((await shop.app())?.live).toBe(live);
    await goesOn(load);
    expect(load.snapshot().lost).toBe(0);
  });

  test('instance by instance: the old ones are gone as the new ones serve, and nothing is lost', async () => {
    const { code, stdout, stderr } = await shop.push({
      behaviour: { version: 'third' },
      config: { strategy: { rolling: { hold: '500ms' } } },
    });
    expect(code, stdout + stderr).toBe(0);
    const app = await shop.app();
    expect(app?.generations.map(({ role, traffic }) => [role, traffic])).toEqual([['stable', 100]]);
    await goesOn(load);
    // How long WebSockets stay is told by test/deploys/rolling.test.ts: here others of the release answer on.
    expect(load.snapshot().lost).toBe(0);
  });

  test('one that fails with its first instance goes back, and the old instance comes again', async () => {
    const live = (await shop.app())?.live;
    const { code, stdout, stderr } = await shop.push({
      behaviour: { version: 'worse', failAfterRequests: 10 },
      config: {
        strategy: { rolling: { hold: '5m' } },
        smoke: [{ path: '/', when: 'before' }],
      },
    });
    expect(code, stdout + stderr).toBe(21);
    const app = await shop.app();
    expect(app?.live).toBe(live);
    const web = app?.generations.flatMap(({ role, instances }) =>
      role === 'stable' ? instances.map(({ state }) => state) : [],
    );
    expect(web?.every((state) => state === 'running')).toBe(true);
    await goesOn(load);
    expect(load.snapshot().lost).toBe(0);
  });
});
