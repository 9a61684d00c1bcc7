import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled } from './shop.ts';

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'socket' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 150, ledger: ledgerOf(host) });
  await load.ready(20_000);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

for (const listen of ['port', 'fd', 'socket']) {
  test(`a release that listens by ${listen} takes over, nothing is lost`, async () => {
    const { code, stderr } = await push(host, {
      behaviour: { version: `by-${listen}` },
      config: { processes: { web: { listen } } },
    });
    expect(stderr).not.toContain('ZDD_');
    expect(code).toBe(0);
    await settled(host);
    const app = await host.app('shop');
    const web = app?.generations[0]?.instances.filter(({ process }) => process === 'web');
    expect(web).toHaveLength(2);
    for (const { address } of web ?? []) {
      expect(address).toMatch(listen === 'port' ? /^127\.0\.0\.1:\d+$/ : /\.sock$/);
    }
    expect(load.snapshot().lost).toBe(0);
  });
}

test('a release with another health path, more instances and another route takes over', async () => {
  const { code, stderr } = await push(host, {
    behaviour: { version: 'other-shape' },
    config: {
      routes: ['*', 'shop.example.com'],
      processes: { web: { instances: 3, health: { path: '/', json: null } } },
    },
  });
  expect(stderr).not.toContain('ZDD_');
  expect(code).toBe(0);
  await settled(host);
  const app = await host.app('shop');
  expect(app?.routes).toContain('shop.example.com');
  expect(app?.generations[0]?.instances.filter(({ process }) => process === 'web')).toHaveLength(3);
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
  expect(report.ledger?.workerOverlaps).toBe(0);
});
