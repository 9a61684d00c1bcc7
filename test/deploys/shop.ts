import { join } from 'node:path';
import type { PrivateHost } from '../../demo/private-host.ts';
import { type BuiltRelease, buildRelease, type ShopRelease } from '../../examples/build-release.ts';

/** Whether the hosts of this run switch by reload: `npm test -- --switch reload`. */
export const BY_RELOAD = process.env['ZDD_TEST_SWITCH'] === 'reload';

/** Times short enough for tests; nothing is measured by them. */
export const QUICK = {
  bake: '300ms',
  warm: '0s',
  drain: { websockets: '2s', pace: '500/s' },
  processes: { worker: { alive: '100ms' } },
  // What is slow here is the machine, with all its other work.
  gates: { p99: '30s' },
  // Those of the example are for smoke.test.ts: some releases here are bad in just those ways.
  smoke: [{ path: '/', contains: 'shop', when: 'before' }],
} as const;

/** Builds a release of the example app whose uploads are all recorded in one ledger. */
export async function shop(host: PrivateHost, release: ShopRelease): Promise<BuiltRelease> {
  return await buildRelease(join(host.dir, 'artifacts'), {
    ...release,
    config: {
      ...QUICK,
      ...release.config,
      env: { ZDD_SHOP_LEDGER: ledgerOf(host) },
    },
  });
}

export function ledgerOf(host: PrivateHost): string {
  return join(host.dir, 'ledger');
}

/** Pushes and returns how the CLI ended. */
export async function push(
  host: PrivateHost,
  release: ShopRelease,
  options: readonly string[] = [],
): ReturnType<PrivateHost['cli']> {
  const { path } = await shop(host, release);
  return await host.cli(['push', path, ...options]);
}

/** By reload, idle clients of an old worker hold a release for up to 30 s longer. */
const SETTLE_MS = BY_RELOAD ? 70_000 : 30_000;

/** Waits until nothing is left of any release but the one that serves. */
export async function settled(host: PrivateHost, withinMs = SETTLE_MS): Promise<void> {
  await host.until('old releases to be gone', withinMs, async () => {
    const app = await host.app('shop');
    return app?.deployment === null && app.generations.length <= 1;
  });
}
