import { unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Receipt } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigValue, ShopBehaviour } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;
let stable: string;

beforeEach(async () => {
  host = await PrivateHost.start();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  stable = (await host.app('shop'))?.live ?? '';
  load = startLoad({ url: host.url, rate: 300, mix: { slow: 0 }, deadlineMs: 60_000 });
  await load.ready(20_000);
});
afterEach(async () => {
  await load.stop();
  await host.remove();
});

type Config = { readonly [key: string]: ConfigValue };

async function begin(
  behaviour: ShopBehaviour,
  steps: readonly ConfigValue[],
  config: Config = {},
): Promise<number> {
  const { path } = await shop(host, {
    behaviour: { ...behaviour, version: 'v2' },
    config: { strategy: steps, ...config },
  });
  const { stdout, stderr } = await host.cli(['push', path, '--detach', '--json']);
  expect(stderr).not.toContain('ZDD_');
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

function verdict({ verdicts }: Receipt, gate: string) {
  return verdicts?.find((each) => each.gate === gate);
}

/** Stable has all traffic again, and nothing is lost any more. */
async function isBack(): Promise<void> {
  await settled(host);
  expect((await host.app('shop'))?.live).toBe(stable);
  const before = load.snapshot();
  await host.until(
    'more requests',
    20_000,
    async () => load.snapshot().requests > before.requests + 300,
  );
  const { lost, appErrors } = load.snapshot();
  expect({ lost, appErrors }).toEqual({ lost: before.lost, appErrors: before.appErrors });
}

const THIRD: readonly ConfigValue[] = [{ weight: '30%' }, { hold: '5m' }];

test('a canary that fails for POST only comes back by itself, and why says what it was', async () => {
  const id = await begin({ version: 'v2', failAfterRequests: 0, failMethod: 'POST' }, THIRD);
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({
    outcome: 'rolled_back',
    lost: 0,
    error: { code: 'ZDD_GATE_FAILED', message: expect.stringContaining('at 30 % of the users') },
  });
  expect(verdict(receipt, 'sequential')).toMatchObject({ outcome: 'fail', action: 'rollback' });
  expect(new Map(receipt.error?.evidence).get('failures')).toMatch(/^\d+ × 500 POST$/);
  expect(new Map(receipt.error?.evidence).get('before')).toMatch(/: 0 of \d+ requests failed$/);
  // Of a third of the users, and for as long as it takes to be certain.
  expect(load.snapshot().appErrors).toBeLessThan(60);
  expect(load.snapshot().lost).toBe(0);
  await isBack();
  const { stdout } = await host.cli(['why', String(id)]);
  expect(stdout).toContain('canary        30 % of the users');
  expect(stdout).toContain('× 500 POST');
});

test('a canary that hangs comes back before its requests end', async () => {
  const id = await begin({ version: 'v2', hangAfterRequests: 20 }, THIRD, {
    gates: { hung: '2s' },
  });
  const receipt = await host.receipt('shop', id);
  expect(receipt.outcome).toBe('rolled_back');
  expect(verdict(receipt, 'hung')).toMatchObject({ outcome: 'fail' });
  expect(verdict(receipt, 'hung')?.value).toBeGreaterThanOrEqual(3);
});

test('a canary that crashes comes back, and loses no more than what it was answering', async () => {
  const id = await begin({ version: 'v2', crashAfterMs: 4_000 }, THIRD);
  const receipt = await host.receipt('shop', id);
  expect(receipt.outcome).toBe('rolled_back');
  expect(verdict(receipt, 'crashes')).toMatchObject({ outcome: 'fail' });
  // Two instances, with a third of 44 clients on them.
  expect(load.snapshot().lost).toBeLessThan(30);
  await isBack();
});

test('a canary that nobody can connect to comes back, and stable has answered in its place', async () => {
  // Only what HAProxy could not pass on tells of it: the probes, which see it as well, may not decide.
  const id = await begin({ version: 'v2' }, THIRD, { gates: { failed_probes: 1_000 } });
  const sockets = await host.until('the canary to have users', 20_000, async () => {
    const app = await host.app('shop');
    const candidate = app?.generations.find(({ role }) => role === 'candidate');
    if (app?.deployment?.canary?.step !== 2 || candidate === undefined) return false;
    return candidate.instances.flatMap(({ process, address }) =>
      process === 'web' && address !== null ? [address] : [],
    );
  });
  await Promise.all(sockets.map((path) => unlink(path)));
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'rolled_back', lost: 0 });
  expect(verdict(receipt, 'sequential')).toMatchObject({ outcome: 'fail', action: 'rollback' });
  expect(verdict(receipt, 'probes')).toBeUndefined();
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
  await isBack();
});

test('a clean one is analysed, and passes', async () => {
  const steps = [{ weight: '50%' }, 'analyse', 'smoke', { weight: '90%' }];
  const id = await begin({ version: 'v2' }, steps, { bake: '500ms', gates: { warm_up: '1s' } });
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0 });
  const analysed = (await host.events()).find(
    (told) => told.type === 'judged' && told.phase === 'canary',
  );
  if (analysed?.type !== 'judged') throw new Error('not judged');
  const sequential = analysed.verdicts.find(({ gate }) => gate === 'sequential');
  expect(sequential).toMatchObject({ outcome: 'pass', value: 0 });
  expect(sequential?.n).toBeGreaterThanOrEqual(330);
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

test('one that cannot be judged pauses, and goes on when somebody says so', async () => {
  const id = await begin({ version: 'v2' }, [{ weight: '1%' }, { analyse: { within: '2s' } }], {
    bake: '300ms',
  });
  const paused = await host.until('the pause', 20_000, async () => {
    const canary = (await host.app('shop'))?.deployment?.canary;
    return canary?.paused ?? false;
  });
  expect(paused).toContain('inconclusive: bad requests');
  expect(paused).toContain('needs more requests');
  expect((await host.cli(['resume', '--app', 'shop'])).code).toBe(0);
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
});

test('a webhook says when to go on; what did not succeed can be tried once more', async () => {
  const asked: string[] = [];
  let go = false;
  const gate: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      asked.push(`${request.method} ${body}`);
      response.writeHead(go ? 204 : 403).end();
    });
  });
  await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
  const { port } = gate.address() as AddressInfo;
  const webhook = `http://127.0.0.1:${port}/go?token=secret`;
  try {
    const id = await begin({ version: 'v2' }, [{ gate: { webhook, within: '1s' } }], {
      bake: '300ms',
    });
    const paused = await host.until('the pause', 20_000, async () => {
      const canary = (await host.app('shop'))?.deployment?.canary;
      return canary?.paused ?? false;
    });
    expect(paused).toBe(`127.0.0.1:${port} did not say go within 1.0s: 403`);
    expect(asked[0]).toBe(`POST {"app":"shop","deployment":${id}}`);
    expect((await host.cli(['abort', '--app', 'shop'])).code).toBe(0);
    go = true;
    const again = await host.cli(['retry', '--app', 'shop']);
    expect(again.code, again.stderr).toBe(0);
    expect((await host.receipt('shop', id + 1)).outcome).toBe('succeeded');
    expect((await host.cli(['retry', '--app', 'shop'])).stderr).toContain('ZDD_NOTHING_TO_RETRY');
  } finally {
    gate.close();
  }
});
