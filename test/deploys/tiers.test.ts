import { expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { push, settled } from './shop.ts';

test('tier internal: a restart that loses nothing, and leaves nothing of the old release', async () => {
  const host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  const load = startLoad({ url: host.url, rate: 100, mix: { slow: 0 }, deadlineMs: 60_000 });
  try {
    await load.ready(20_000);
    const config = { tier: 'internal', bake: null, warm: null };
    const pushed = await push(host, { behaviour: { version: 'v2' }, config });
    expect(pushed.code, pushed.stderr).toBe(0);
    expect(pushed.stderr).not.toContain('canary');
    expect(pushed.stderr).not.toContain('is warm');
    // A release that is kept warm would stay for ten minutes.
    await settled(host);
    const back = await host.cli(['rollback', '--app', 'shop']);
    expect(back.code, back.stderr).toBe(0);
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
  } finally {
    expect((await load.stop()).losses).toEqual([]);
    await host.remove();
  }
});
