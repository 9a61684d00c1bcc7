import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { push, settled } from './shop.ts';
import { Crowd } from './users.ts';

let host: PrivateHost;
let crowd: Crowd;

beforeEach(async () => {
  host = await PrivateHost.start();
});
afterEach(async () => {
  await crowd.stop();
  await host.remove();
});

/** Nobody saw an error, and nobody came back to a release once he was on another. */
function nobodyWentBack(): void {
  for (const { visits } of crowd.users) {
    expect(visits.every(({ status }) => status === 200)).toBe(true);
    const releases = visits.map(({ release }) => release);
    const order = releases.filter((release, at) => release !== releases[at - 1]);
    expect(new Set(order).size).toBe(order.length);
  }
}

test('users stay with their instance, and move at their next request after the switch', async () => {
  const config = { sticky: 'cookie' };
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
  crowd = new Crowd(host.url, 40, 100);
  const canary = { ...config, strategy: [{ weight: '50%' }, { hold: '1s' }], bake: '1s' };
  expect((await push(host, { behaviour: { version: 'v2' }, config: canary })).code).toBe(0);
  await settled(host);
  const { live } = (await host.app('shop')) ?? {};
  await host.until('everybody to have moved', 10_000, async () => crowd.shareOf(live ?? '') === 1);
  await crowd.stop();
  nobodyWentBack();
  for (const { cookies } of crowd.users)
    expect(cookies.get('zdd_shop')).toMatch(/^r2-d2-web-[12]$/);
});

test('until drain: they stay on the replaced release for as long as WebSockets may', async () => {
  const config = { sticky: { until: 'drain' }, drain: { websockets: '4s' } };
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
  const first = (await host.app('shop'))?.live ?? '';
  crowd = new Crowd(host.url, 40, 50);
  await host.until('users', 10_000, async () =>
    crowd.users.every(({ visits }) => visits.length > 2),
  );
  const since = (await host.events()).at(-1)?.seq ?? 0;
  expect((await push(host, { behaviour: { version: 'v2' }, config })).code).toBe(0);
  const counts = crowd.users.map(({ visits }) => visits.length);
  await host.until('more visits', 10_000, async () =>
    crowd.users.every(({ visits }, index) => visits.length > (counts[index] ?? 0)),
  );
  expect(crowd.shareOf(first)).toBe(1);
  // The time runs on although nobody is there to see it.
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  await settled(host);
  const { live } = (await host.app('shop')) ?? {};
  expect(live).not.toBe(first);
  await host.until('everybody to have moved', 10_000, async () => crowd.shareOf(live ?? '') === 1);
  await crowd.stop();
  nobodyWentBack();
  const events = await host.events(since);
  const switched = events.find(({ type }) => type === 'traffic_moved')?.at ?? 0;
  const stopped = events.find(({ type }) => type === 'release_stopped')?.at ?? 0;
  expect(stopped - switched).toBeGreaterThanOrEqual(4_000);
});
