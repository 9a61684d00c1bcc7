import { expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { startLoad } from '../../load/load.ts';
import { pushAlone } from './alone-app.ts';
import { ledgerOf } from './shop.ts';

test('an app that may not run twice comes by reload, and its next release is refused before anything stops', async () => {
  const host = await PrivateHost.start({ haproxy: { switch: 'reload' } });
  try {
    expect((await pushAlone(host, { version: 'v1' })).code).toBe(0);
    const load = startLoad({ url: host.url, rate: 50, ledger: ledgerOf(host) });
    await load.ready(20_000);
    const pushed = await pushAlone(host, { version: 'v2' });
    expect(pushed.stderr).toContain('ZDD_HOLD_UNAVAILABLE');
    expect(pushed.code).toBe(20);
    expect((await host.app('shop'))?.live).toMatch(/^r1-/);
    expect(await load.stop()).toMatchObject({ lost: 0 });
  } finally {
    await host.remove();
  }
});
