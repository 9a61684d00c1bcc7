import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { BY_RELOAD, push, QUICK, settled } from './shop.ts';

let host: PrivateHost;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
});
afterAll(() => host.remove());

const app = (name: string, ...routes: string[]) => ({ app: name, routes, ...QUICK });

test('an app takes paths out of the traffic of another, gives them back, and nothing is lost', async () => {
  const load = startLoad({ url: host.url, rate: 150, websockets: 10 });
  await load.ready(20_000);
  // It never becomes healthy: what it would take stays where it is.
  const sick = await push(
    host,
    { behaviour: { version: 'sick', health: 'never' }, config: app('quick', '*/stream') },
    ['--probe-timeout', '500ms'],
  );
  expect(sick.code).toBe(20);
  const first = await push(host, {
    behaviour: { version: 'q1' },
    config: app('quick', '*/stream', '*/upload'),
  });
  expect({ code: first.code, stderr: first.stderr }).toMatchObject({ code: 0 });
  const reloads = async () =>
    (await host.events()).filter((event) => event.type === 'traffic_moved' && event.reloaded);
  const before = (await reloads()).length;
  // Routes of known apps change with a release, without a reload.
  for (const routes of [['*/upload'], ['*/stream', '*/slow', 'quick.example.com']]) {
    const moved = await push(host, {
      behaviour: { version: `m${routes.length}` },
      config: app('quick', ...routes),
    });
    expect({ code: moved.code, stderr: moved.stderr }).toMatchObject({ code: 0 });
    expect((await host.app('quick'))?.routes).toEqual(routes);
  }
  expect((await host.cli(['rollback', '--app', 'quick'])).code).toBe(0);
  expect((await host.app('quick'))?.routes).toEqual(['*/upload']);
  expect((await reloads()).length).toBe(before + (BY_RELOAD ? 3 : 0));
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect((await host.cli(['doctor'])).stdout).toContain('agree');
});

test('a route that another app has is refused with its name, a more specific one is not', async () => {
  await settled(host);
  const taken = await push(host, { behaviour: { version: 't' }, config: app('third', '*') });
  expect(taken.code).toBe(10);
  expect(taken.stderr).toContain('ZDD_ROUTE_CONFLICT');
  expect(taken.stderr).toMatch(/\* belongs to the app shop/);
  const path = await push(host, { behaviour: { version: 'p' }, config: app('third', '*/upload/') });
  expect(path.stderr).toMatch(/\*\/upload belongs to the app quick/);
  const deeper = app('third', '*/upload/deep', '*.example.com');
  const [one, other] = await Promise.all([
    push(host, { behaviour: { version: 'd' }, config: deeper }),
    // At the same moment, before either has been unpacked.
    push(host, { behaviour: { version: 'e' }, config: { ...deeper, app: 'fourth' } }),
  ]);
  expect([one.code, other.code].toSorted((a, b) => a - b)).toEqual([0, 10]);
  expect(one.stderr + other.stderr).toMatch(/belong to the app (third|fourth)/);
});
