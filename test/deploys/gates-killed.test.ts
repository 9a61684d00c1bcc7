import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
beforeAll(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  // 2 % of the requests ask to wait for longer than p99 allows: stable has them too.
  load = startLoad({ url: host.url, rate: 120 });
  await load.ready(20_000);
  // SIGKILL leaves what was written before it, every few seconds.
  await host.until('enough to be kept of v1', 30_000, async () => (await kept()) > 200);
});
afterAll(async () => {
  await load.stop();
  await host.remove();
});

/** Requests in what is kept for a restart. */
async function kept(): Promise<number> {
  const path = join(host.stateDir, 'haproxy', 'access-log-books.json');
  const text = await readFile(path, 'utf8').catch(() => '');
  return [...text.matchAll(/"requests":(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}

for (const [signal, afterMs] of [
  ['SIGTERM', 0],
  ['SIGKILL', 0],
  ['SIGKILL', 1_500],
] as const) {
  test(`${signal} ${afterMs} ms into a bake: what stable does is still known`, async () => {
    const { path } = await shop(host, {
      behaviour: { version: `${signal} ${afterMs}` },
      config: { bake: '5s' },
    });
    const since = (await host.events()).at(-1)?.seq ?? 0;
    await host.cli(['push', path, '--detach', '--json']);
    await host.until('the bake', 20_000, async () =>
      (await host.events(since)).some(
        (told) =>
          told.type === 'phase_changed' && told.to === 'baking' && Date.now() - told.at > afterMs,
      ),
    );
    await host.stopDaemon(signal);
    await host.startDaemon();
    const ended = await host.until('the deployment to end', 30_000, async () =>
      (await host.events(since)).find((told) => told.type === 'deployment_ended'),
    );
    if (ended.type !== 'deployment_ended') throw new Error('not an end');
    const { stdout } = await host.cli(['why', String(ended.receipt.deployment)]);
    expect(ended.receipt.outcome, stdout).toBe('succeeded');
    await settled(host);
    expect(load.snapshot().lost).toBe(0);
  });
}
