import { mkdir, unlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ShopBehaviour } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, shop } from './shop.ts';

let host: PrivateHost;
let load: Load | undefined;

afterEach(async () => {
  await load?.stop();
  load = undefined;
  await host.remove();
});

/** A host with v1 live and users on it. */
async function live(rate = 800): Promise<void> {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate, deadlineMs: 60_000 });
  await load.ready(20_000);
}

type Gates = Readonly<Record<string, string | number>>;

async function candidate(behaviour: ShopBehaviour, bake: string, gates: Gates = {}) {
  const { path } = await shop(host, { behaviour, config: { bake, gates } });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  const receipt = await host.receipt('shop', Number(deployment));
  const verdict = (gate: string) => receipt.verdicts?.find((each) => each.gate === gate);
  return { receipt, verdict, deployment: Number(deployment) };
}

test('a good release: each gate says what it saw, in the receipt and in why', async () => {
  await live();
  // On a busy machine one may be slow; what is counted here is failures.
  const { receipt, verdict, deployment } = await candidate({ version: 'v2' }, '6s', { p99: '30s' });
  expect(receipt.outcome).toBe('succeeded');
  expect(verdict('sequential')).toMatchObject({
    outcome: 'pass',
    action: 'proceed',
    value: 0,
    oneOf: 1,
    interval: { low: 0 },
  });
  expect(verdict('sequential')?.n).toBeGreaterThanOrEqual(330);
  expect(verdict('error-rate')?.outcome).toBe('pass');
  expect(verdict('latency')?.because).toMatch(/^p99 \d+ ms$/);
  expect(verdict('relative-latency')?.because).toContain('n too small');
  const baked = receipt.steps.find(({ phase }) => phase === 'baking');
  expect(baked?.summary).toMatch(/ requests, 0\.00 % errors, p99 \d+ ms \(r1: \d+ ms\)$/);
  const { stdout } = await host.cli(['why', String(deployment)]);
  expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
    /sequential pass: bad requests 0\.00 % \(limit \d\.\d %, n = \d+, 95 %: 0\.00 % to \d\.\d+ %, \d+ s\)/,
  );
  expect((await host.events()).some(({ type }) => type === 'judged')).toBe(true);
});

test('one that fails for POST only is taken back, with what failed and what was before', async () => {
  await live();
  const { receipt, verdict } = await candidate(
    { version: 'v2', failAfterRequests: 0, failMethod: 'POST' },
    '60s',
  );
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_GATE_FAILED' } });
  const failed = verdict('sequential');
  expect(failed).toMatchObject({ outcome: 'fail', action: 'rollback' });
  // 1 %, and more while the release before has answered fewer than a hundred: max(1 %, 2 (e+1/2)/(n+1)).
  expect(failed?.threshold).toBeGreaterThanOrEqual(0.01);
  expect(failed?.threshold).toBeLessThan(0.05);
  expect(failed?.value).toBeGreaterThan(failed?.threshold ?? 1);
  expect(failed?.interval?.high).toBeGreaterThan(failed?.value ?? 1);
  expect(failed?.window.to).toBeGreaterThan(failed?.window.from ?? 0);
  const evidence = new Map(receipt.error?.evidence);
  expect(evidence.get('failures')).toMatch(/^\d+ × 500 POST$/);
  expect(evidence.get('before')).toMatch(/^r1-\w+: 0 of \d+ requests failed$/);
});

test('one that hangs is taken back before a request of it has ended', async () => {
  await live();
  const { receipt, verdict } = await candidate({ version: 'v2', hangAfterRequests: 20 }, '60s', {
    hung: '2s',
  });
  expect(receipt.outcome).toBe('rolled_back');
  expect(verdict('hung')).toMatchObject({ outcome: 'fail', unit: 'count' });
  expect(verdict('hung')?.value).toBeGreaterThanOrEqual(3);
});

test('one whose errors are of HAProxy, which cannot connect to it, is taken back for them', async () => {
  await live();
  const { path } = await shop(host, {
    behaviour: { version: 'v2' },
    config: { bake: '60s', gates: { failed_probes: 1_000 } },
  });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  const { deployment } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  const sockets = await host.until('the bake', 20_000, async () => {
    const app = await host.app('shop');
    const candidate = app?.generations.find(({ role }) => role === 'candidate');
    if (app?.deployment?.phase !== 'baking' || candidate === undefined) return false;
    return candidate.instances.flatMap(({ process, address }) =>
      process === 'web' && address !== null ? [address] : [],
    );
  });
  await Promise.all(sockets.map((socket) => unlink(socket)));
  const receipt = await host.receipt('shop', Number(deployment));
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_GATE_FAILED' } });
  const failed = receipt.verdicts?.find(({ gate }) => gate === 'sequential');
  expect(failed).toMatchObject({ outcome: 'fail', action: 'rollback' });
  expect(new Map(receipt.error?.evidence).get('failures')).toMatch(/\d+ × 503 (GET|POST)/);
  // It is the app's own server that never saw them.
  expect(receipt.appErrors).toBe(0);
});

test('one that is too slow is taken back', async () => {
  await live(200);
  // A busy machine makes stable slow too, and then it is not the release: far from both.
  const { receipt, verdict } = await candidate({ version: 'v2', delayMs: 2_500 }, '60s', {
    p99: '1500ms',
  });
  expect(receipt.outcome).toBe('rolled_back');
  expect(verdict('sequential')?.because).toMatch(/ [1-9]\d* slower than 1500 ms/);
});

test('without the access log it is judged by the counters, and that is said', async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  host = await PrivateHost.prepare({ settings: {} });
  const folder = join(host.stateDir, 'haproxy');
  await mkdir(folder, { recursive: true });
  // The admin's own frontend, which tells nobody of its requests.
  await writeFile(
    join(folder, 'haproxy.cfg'),
    `global
  stats socket ${join(host.dir, 'run', 'haproxy-admin.sock')} mode 600 level admin expose-fd listeners
  stats maxconn 100
frontend mine
  mode http
  timeout client 60s
  bind 127.0.0.1:${port}
  use_backend %[str(zdd_shop)]
`,
  );
  await host.startDaemon();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url, rate: 200, deadlineMs: 60_000 });
  await load.ready(20_000);
  const good = await candidate({ version: 'v2' }, '4s');
  expect(good.receipt.outcome).toBe('succeeded');
  expect(good.verdict('error-rate')?.because).toMatch(
    /^by HAProxy's counters: (\d\d\.\d % of )?the access log (is missing|does not arrive)$/,
  );
  expect(good.verdict('error-rate')?.n).toBeGreaterThan(100);
  expect(good.verdict('latency')?.outcome).toBe('inconclusive');
  const bad = await candidate({ version: 'v3', failAfterRequests: 50 }, '60s');
  expect(bad.receipt.outcome).toBe('rolled_back');
  expect(bad.verdict('sequential')?.because).toContain("by HAProxy's counters");
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
