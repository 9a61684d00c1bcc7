import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigValue, ShopBehaviour } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

const FIRST_ONLY = 'sh first-only.sh';

let host: PrivateHost;
let load: Load;
/** What was seen of the instances, as often as could be looked. */
let looks: Look[];
let looking: AbortController;
let looked: Promise<void>;

interface Look {
  readonly running: number;
  readonly serving: number;
}

const INSTANCES = { processes: { web: { instances: 3 }, worker: { alive: '100ms' } } } as const;

beforeEach(async () => {
  host = await PrivateHost.start();
  const config = { ...INSTANCES, strategy: 'rolling' };
  expect((await push(host, { behaviour: { version: 'v1' }, config })).code).toBe(0);
  load = startLoad({
    url: host.url,
    rate: 150,
    websockets: 12,
    ledger: ledgerOf(host),
    // When an instance leaves its WebSockets go at their deadline.
    closedByDrain: () => true,
  });
  await load.ready(20_000);
  looks = [];
  looking = new AbortController();
  looked = watchInstances(looking.signal);
});
afterEach(async () => {
  looking.abort();
  await looked;
  await load.stop();
  await host.remove();
});

async function watchInstances(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const app = await host.app('shop').catch(() => null);
    const web = (app?.generations ?? []).flatMap(({ instances }) =>
      instances.filter(({ process }) => process === 'web'),
    );
    const running = web.filter(({ state }) => state === 'running').length;
    const rolling = app?.deployment?.rolling;
    if (rolling !== undefined) looks.push({ running, serving: rolling.serving + rolling.left });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Config = { readonly [key: string]: ConfigValue };

/** Pushes and lets go. Returns the number. */
async function begin(
  behaviour: ShopBehaviour,
  rolling: Config = {},
  config: Config = {},
): Promise<number> {
  const { path } = await shop(host, {
    behaviour,
    config: { ...INSTANCES, strategy: { rolling: { hold: '500ms', ...rolling } }, ...config },
  });
  const { stdout, stderr } = await host.cli(['push', path, '--detach', '--json']);
  expect(stderr).not.toContain('ZDD_');
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

/** Waits until so many instances of the candidate take requests. */
async function serves(count: number): Promise<void> {
  await host.until(`${count} new instances to serve`, 30_000, async () => {
    const serving = (await host.app('shop'))?.deployment?.rolling?.serving ?? 0;
    return serving >= count;
  });
}

/** Whole on one release: all of its instances run, and nothing of another. */
async function wholeOn(release: string | null | undefined): Promise<void> {
  await settled(host);
  const app = await host.app('shop');
  expect(app?.live).toBe(release);
  expect(app?.generations.map(({ role, traffic }) => [role, traffic])).toEqual([['stable', 100]]);
  const instances = app?.generations[0]?.instances ?? [];
  expect(instances.map(({ process, state }) => `${process} ${state}`).toSorted()).toEqual([
    'web running',
    'web running',
    'web running',
    'worker running',
  ]);
}

async function nothingLost(): Promise<void> {
  const report = await load.stop();
  expect(report.losses).toEqual([]);
  expect(report.ledger?.duplicates).toEqual([]);
  expect(report.ledger?.workerOverlaps).toBe(0);
}

function within(most: number, least: number): void {
  expect(looks.length).toBeGreaterThan(3);
  expect(Math.max(...looks.map(({ running }) => running))).toBeLessThanOrEqual(most);
  expect(Math.min(...looks.map(({ serving }) => serving))).toBeGreaterThanOrEqual(least);
}

test('instance by instance, one more than usual and never one fewer', async () => {
  const id = await begin({ version: 'v2' });
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0 });
  await wholeOn(receipt.release);
  within(4, 3);
  const steps = receipt.steps.filter(({ phase }) => phase === 'rolling');
  const release = receipt.release ?? '';
  const shares = steps.flatMap(
    ({ summary }) => /^(\d+) % of new requests/.exec(summary)?.[1] ?? [],
  );
  expect(shares.map(Number)).toEqual([25, 33, 50, 67, 75, 100]);
  expect(steps.at(-1)?.summary).toContain('none of r1 left');
  expect(release).toMatch(/^r2-/);
  // The WebSockets of each instance had their time, and were closed by HAProxy: no app was told to
  // end while it held one, which it says with 1001.
  const drains = (await host.events()).flatMap((told) =>
    told.type === 'draining' && told.release === receipt.previous ? [told.closingFrom] : [],
  );
  const closes = load.websocketCloses.filter((close) => close.release === receipt.previous);
  expect(closes.length).toBeGreaterThanOrEqual(12);
  expect(closes.filter(({ code }) => code !== 1006)).toEqual([]);
  expect(Math.min(...closes.map(({ closedAt }) => closedAt))).toBeGreaterThanOrEqual(
    Math.min(...drains),
  );
  await nothingLost();
});

test('a candidate that fails its probe in the second batch: the first one goes back', async () => {
  const { path } = await shop(host, {
    behaviour: { version: 'v2' },
    config: {
      ...INSTANCES,
      processes: {
        ...INSTANCES.processes,
        web: { instances: 3, run: FIRST_ONLY, health: { path: '/healthz', within: '30s' } },
      },
      strategy: { rolling: { hold: '300ms' } },
    },
    files: { 'first-only.sh': 'case "$ZDD_SLOT" in *web-1) exec node server.js;; esac; exit 3\n' },
  });
  const before = (await host.app('shop'))?.live;
  const pushed = await host.cli(['push', path]);
  expect(pushed.code, pushed.stderr).toBe(21);
  expect(pushed.stderr).toContain('ZDD_INSTANCE_CRASHED');
  expect(pushed.stderr).toContain('moved back: 100 % on r1');
  await wholeOn(before);
  within(4, 3);
  await nothingLost();
});

test('errors that appear with the first batch: rolled back, before a second one comes', async () => {
  const before = (await host.app('shop'))?.live;
  const id = await begin(
    { version: 'v2', failAfterRequests: 20 },
    { hold: '30s' },
    { gates: { min_requests: 20, min_errors: 3 } },
  );
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'rolled_back', lost: 0 });
  expect(receipt.error?.code).toBe('ZDD_GATE_FAILED');
  expect(receipt.error?.message).toContain('at 25 % of the requests');
  await wholeOn(before);
  within(4, 3);
  await nothingLost();
});

test('aborted in the middle: what has left comes back, instance by instance', async () => {
  const before = (await host.app('shop'))?.live;
  const id = await begin({ version: 'v2' }, { hold: '2s' });
  await serves(2);
  expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'aborted', lost: 0 });
  await wholeOn(before);
  within(4, 3);
  await nothingLost();
});

test('paused after its batch, promoted, and failed in its bake', async () => {
  const before = (await host.app('shop'))?.live;
  const id = await begin({ version: 'v2' }, { hold: '2s' }, { bake: '1h' });
  await serves(1);
  expect((await host.cli(['pause', '--app', 'shop'])).stdout).toContain('pausing');
  expect((await host.cli(['pause', '--app', 'shop'])).stdout).toContain('paused already');
  const status = await host.cli(['status']);
  expect(status.stdout).toMatch(/rolling \d of 3 new, \d old \(paused\)/);
  expect((await host.cli(['promote', '--detach', '--app', 'shop'])).stdout).toContain('promoting');
  await host.until(
    'the bake',
    30_000,
    async () => ((await host.app('shop'))?.deployment?.phase ?? '') === 'baking',
  );
  // Nothing of the old release runs: it has to be started again.
  const old = (await host.app('shop'))?.generations.find(({ role }) => role === 'stable');
  expect(
    old?.instances.filter(({ process }) => process === 'web').map(({ state }) => state),
  ).toEqual(['stopped', 'stopped', 'stopped']);
  expect((await host.cli(['rollback', '--app', 'shop'])).code).toBe(0);
  expect((await host.receipt('shop', id)).outcome).toBe('rolled_back');
  await wholeOn(before);
  within(4, 3);
  await nothingLost();
});

test('without a surge one leaves before one comes; a rollback later rolls as well', async () => {
  const before = (await host.app('shop'))?.live;
  const id = await begin({ version: 'v2' }, { max_surge: 0, max_unavailable: 1 });
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
  within(3, 2);
  await settled(host);
  const back = await host.cli(['rollback', '--app', 'shop']);
  expect(back.code, back.stderr).toBe(0);
  const receipt = await host.receipt('shop', id + 1);
  expect(receipt.kind).toBe('rollback');
  expect(receipt.steps.filter(({ phase }) => phase === 'rolling').length).toBeGreaterThan(6);
  await wholeOn(before);
  const { path } = await shop(host, {
    behaviour: { version: 'v3' },
    config: { processes: { web: { overlap: false } } },
  });
  const refused = await host.cli(['push', path, '--strategy', 'rolling']);
  expect(refused.code).toBe(10);
  expect(refused.stderr).toContain('ZDD_ROLLING_IMPOSSIBLE');
  await wholeOn(before);
  await nothingLost();
});
