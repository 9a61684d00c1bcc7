import { afterEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled } from './shop.ts';

let host: PrivateHost;
afterEach(async () => {
  await host.remove();
});

test.each(['runtime', 'reload'])(
  'by %s: WebSockets stay until their deadline, then close at the pace, before the app is stopped',
  async (by) => {
    host = await PrivateHost.start({ haproxy: { switch: by } });
    const config = { warm: '0s', drain: { websockets: '2s', pace: '20/s' } };
    expect((await push(host, { behaviour: { version: 'w1' }, config })).code).toBe(0);
    const old = (await host.app('shop'))?.live;
    const load = startLoad({ url: host.url, rate: 100, websockets: 60, ledger: ledgerOf(host) });
    await load.ready(20_000);
    expect((await push(host, { behaviour: { version: 'w2' }, config })).code).toBe(0);
    await settled(host, 70_000);
    const closes = load.websocketCloses.filter(({ release }) => release === old);
    expect(closes).toHaveLength(60);
    const events = await host.events();
    const draining = events.findLast((told) => told.type === 'draining' && told.release === old);
    if (draining?.type !== 'draining') throw new Error('nobody told of the draining');
    const times = closes.map(({ closedAt }) => closedAt).toSorted((a, b) => a - b);
    expect(times[0]).toBeGreaterThanOrEqual(draining.closingFrom);
    // Never more than twice the pace in any second: no herd.
    for (const from of times) {
      expect(times.filter((at) => at >= from && at < from + 1_000).length).toBeLessThanOrEqual(40);
    }
    const stopped = events.findLast(
      (told) => told.type === 'release_stopped' && told.release === old,
    );
    expect(times.at(-1)).toBeLessThanOrEqual(stopped?.at ?? 0);
    expect((await load.stop()).losses).toEqual([]);
  },
);
