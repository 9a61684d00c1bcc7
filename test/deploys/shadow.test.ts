import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ShopBehaviour } from '../../examples/build-release.ts';
import { type Load, startLoad } from '../../load/load.ts';
import { ledgerOf, push, settled, shop } from './shop.ts';

let host: PrivateHost;
let load: Load;

/** Writes down what the instances of a release are asked, beside the ledger. */
const RECORDER = `
import { appendFileSync } from 'node:fs';
import { subscribe } from 'node:diagnostics_channel';
subscribe('http.server.request.start', ({ request: { method, url, headers } }) => {
  if (url === '/healthz' || headers['user-agent']?.startsWith('zdd-agent')) return;
  const line = JSON.stringify({ release: process.env.ZDD_RELEASE, method, url, headers });
  appendFileSync(\`\${process.env.ZDD_SHOP_LEDGER}-seen\`, line + '\\n');
});
`;

const RECORDED = {
  config: { processes: { web: { env: { NODE_OPTIONS: '--import ./recorder.js' } } } },
  files: { 'recorder.js': RECORDER },
} as const;

interface Seen {
  readonly release: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

beforeEach(async () => {
  // Where HAProxy takes no commands nothing can be copied.
  await start('auto');
});

async function start(switchBy: 'auto' | 'reload'): Promise<void> {
  host = await PrivateHost.start({ haproxy: { switch: switchBy } });
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
  load = startLoad({ url: host.url, rate: 300, deadlineMs: 60_000 });
  await load.ready(20_000);
}

afterEach(async () => {
  await load.stop();
  await host.remove();
});

/** Begins to deploy a release that writes down what it is asked. */
async function begin(
  behaviour: ShopBehaviour,
  shadow: ConfigOverrides,
  config: ConfigOverrides = {},
): Promise<number> {
  const { path } = await shop(host, {
    behaviour,
    files: RECORDED.files,
    config: { ...RECORDED.config, ...config, shadow },
  });
  const { stdout, stderr, code } = await host.cli(['push', path, '--detach', '--json']);
  expect(code, stderr).toBe(0);
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

/** Waits until copies reach the candidate. */
async function copying(): Promise<void> {
  await host.until('copies', 20_000, async () => (await seen()).length > 20);
}

/** What recorded instances have been asked so far. */
async function seen(): Promise<Seen[]> {
  const text = await readFile(`${ledgerOf(host)}-seen`, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const copies = async (): Promise<Seen[]> =>
  (await seen()).filter(({ headers }) => headers['x-zdd-shadow'] !== undefined);

async function phaseOf(deployment: number): Promise<string | undefined> {
  const told = (await host.events()).findLast(
    (each) => each.type === 'phase_changed' && each.deployment === deployment,
  );
  return told?.type === 'phase_changed' ? told.to : undefined;
}

/** One request of a user who says who he is, and says it is a copy. */
function ask(method: string, path: string, body?: string): Promise<number> {
  const headers = {
    cookie: 'session=secret',
    authorization: 'Bearer secret',
    'x-zdd-shadow': '1',
    'x-user': 'anna',
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(`${host.url}${path}`, { method, headers, agent: false }, (incoming) =>
      incoming.resume().on('end', () => resolve(incoming.statusCode ?? 0)),
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test('a good release answers copies before it has a user, and is told apart from live', async () => {
  const deployment = await begin({ version: 'v2' }, { share: '100%', for: '12s' });
  await copying();
  for (let n = 0; n < 20; n += 1) await ask('GET', '/?anna');
  await ask('POST', '/order?anna', 'x');
  // While copies are answered HAProxy has sent the candidate nothing.
  expect(await phaseOf(deployment)).toBe('shadowing');
  expect(await traffic(deployment)).toBe(0);
  const receipt = await host.receipt('shop', deployment);
  expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
  const report = receipt.shadow;
  expect(report).toMatchObject({ share: 1, failed: 0, unfit: 0 });
  expect(report?.copied).toBeGreaterThan(300);
  expect(report?.live['2xx']).toBe(report?.candidate['2xx']);
  expect(report?.latency.candidate.p50).toBeGreaterThanOrEqual(0);
  const step = receipt.steps.find(({ phase }) => phase === 'shadowing');
  expect(step?.summary).toMatch(/^\d+ requests copied.*, 0 failed that live answered, p50 /);
  const { stdout } = await host.cli(['why', String(deployment)]);
  expect(stdout).toMatch(/^ {2}shadow +\d+ requests copied/m);

  const copied = await copies();
  expect(copied.length).toBeGreaterThanOrEqual(report?.copied ?? 0);
  expect(new Set(copied.map(({ method }) => method))).toEqual(new Set(['GET']));
  const anna = copied.filter(({ url }) => url === '/?anna');
  expect(anna.length).toBeGreaterThan(0);
  expect(JSON.stringify(copied)).not.toContain('secret');
  // Not named in `headers`, so it is not copied either.
  expect(JSON.stringify(anna)).not.toContain('x-user');
  // A user of the new release who says he is a copy is none.
  await ask('GET', '/?late');
  expect((await seen()).find(({ url }) => url === '/?late')?.headers).toMatchObject({
    cookie: 'session=secret',
  });
  expect((await copies()).some(({ url }) => url === '/?late')).toBe(false);
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

/** Requests that HAProxy has sent to the instances of a deployment. */
async function traffic(deployment: number): Promise<number> {
  const rows = (await host.ask('show stat zdd_shop 4 -1')).split('\n').map((row) => row.split(','));
  const [head = []] = rows;
  const column = head.indexOf('lbtot');
  const own = rows.filter((row) => row[1]?.includes(`-d${deployment}-web-`) === true);
  expect(own).toHaveLength(2);
  return own.reduce((sum, row) => sum + Number(row[column]), 0);
}

test('cookies and bodies are copied where zdd.yaml says so, and nowhere else', async () => {
  const deployment = await begin(
    { version: 'v2' },
    { share: '100%', for: '4s', headers: ['Cookie', 'x-user'], bodies: ['/search'] },
  );
  await copying();
  await host.until('a copied body', 10_000, async () => {
    await ask('POST', '/search', 'words');
    await ask('POST', '/order', 'one');
    return (await copies()).some(({ method }) => method === 'POST');
  });
  await host.receipt('shop', deployment);
  const written = (await copies()).filter(({ method }) => method !== 'GET');
  expect(new Set(written.map(({ url }) => url))).toEqual(new Set(['/search']));
  expect(written[0]?.headers).toMatchObject({
    cookie: 'session=secret',
    'x-user': 'anna',
    'content-length': '5',
  });
  expect(JSON.stringify(await copies())).not.toContain('Bearer');
  expect(load.snapshot().lost).toBe(0);
});

test('one that fails copies is refused before a user has met it', async () => {
  const deployment = await begin(
    { version: 'v2', failAfterRequests: 20, share: 0.3 },
    { share: '100%', for: '5m' },
  );
  const receipt = await host.receipt('shop', deployment);
  expect(receipt).toMatchObject({
    outcome: 'failed',
    switchMs: null,
    error: { code: 'ZDD_SHADOW_FAILED' },
    verdicts: [{ gate: 'shadow', outcome: 'fail', action: 'rollback' }],
  });
  // Long before its time.
  expect(receipt.totalMs).toBeLessThan(240_000);
  expect(receipt.shadow?.failed).toBeGreaterThanOrEqual(3);
  expect(receipt.shadow?.candidate['5xx']).toBeGreaterThanOrEqual(3);
  expect(receipt.error?.traffic).toMatch(/^untouched: 100 % on r1-/);
  expect(new Map(receipt.error?.evidence).get('candidate')).toMatch(/\d+ × 5xx/);
  expect((await host.cli(['attach', String(deployment)])).code).toBe(20);
  await settled(host);
  expect((await seen()).every(({ headers }) => headers['x-zdd-shadow'] === '1')).toBe(true);
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

test('without requests to copy nothing is known, and nothing is refused', async () => {
  await load.stop();
  const deployment = await begin({ version: 'v2' }, { share: '10%', for: '500ms' });
  const receipt = await host.receipt('shop', deployment);
  expect(receipt).toMatchObject({ outcome: 'succeeded', shadow: { copied: 0, failed: 0 } });
  const judged = (await host.events()).find(
    (told) => told.type === 'judged' && told.phase === 'shadowing',
  );
  expect(judged).toMatchObject({ verdicts: [{ outcome: 'inconclusive', action: 'pause' }] });
});

test('as a step of a canary it comes when the steps say so, and again at another share', async () => {
  const deployment = await begin(
    { version: 'v2' },
    { share: '1%', for: '1s' },
    {
      strategy: [
        { gate: 'manual' },
        { shadow: { share: '100%', for: '2s' } },
        { weight: '0%' },
        { shadow: { share: '50%', for: '60s' } },
        { weight: '50%' },
      ],
    },
  );
  const goOn = () => host.cli(['promote', '--detach', '--app', 'shop']);
  const told = (type: string) => host.events().then((all) => all.filter((e) => e.type === type));
  await host.until('the gate', 30_000, async () => (await told('paused')).length > 0);
  // The steps say when: nothing was copied before them.
  expect(await copies()).toEqual([]);
  await goOn();
  await host.until('the first to end', 20_000, async () => (await told('shadowed')).length > 0);
  const all = (await copies()).length;
  expect(all).toBeGreaterThan(100);
  await host.until('the second', 20_000, async () => (await copies()).length > all + 20);
  expect(await traffic(deployment)).toBe(0);
  expect(await phaseOf(deployment)).toBe('canary');
  // Who has seen enough goes on.
  await goOn();
  const receipt = await host.receipt('shop', deployment);
  expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
  expect(receipt.shadow).toMatchObject({ share: 1, failed: 0 });
  expect(receipt.steps.map(({ summary }) => summary).join()).toMatch(/shadow: \d+ requests copied/);
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

test('as a step it refuses who fails, and waits for a person when too little was copied', async () => {
  const failing = await begin(
    { version: 'v2', failAfterRequests: 20, share: 0.3 },
    { share: '100%', for: '60s' },
    { strategy: ['shadow', { weight: '50%' }] },
  );
  const receipt = await host.receipt('shop', failing);
  expect(receipt).toMatchObject({ outcome: 'failed', error: { code: 'ZDD_SHADOW_FAILED' } });
  expect((await seen()).every(({ headers }) => headers['x-zdd-shadow'] === '1')).toBe(true);
  await settled(host);
  await load.stop();
  const unsure = await begin(
    { version: 'v3' },
    { share: '10%', for: '500ms' },
    { strategy: ['shadow', { weight: '50%' }] },
  );
  await host.until('it to wait', 30_000, async () => {
    const { deployment } = (await host.app('shop')) ?? {};
    return JSON.stringify(deployment).includes('n too small');
  });
  expect((await host.cli(['promote', '--full', '--app', 'shop'])).code).toBe(0);
  expect((await host.receipt('shop', unsure)).outcome).toBe('succeeded');
});

test('with the agent hung live requests go on, and so does the deployment afterwards', async () => {
  const deployment = await begin({ version: 'v2' }, { share: '100%', for: '3s' });
  await copying();
  process.kill(host.daemonPid, 'SIGSTOP');
  const before = load.snapshot().requests;
  await expect
    .poll(() => load.snapshot().requests, { timeout: 30_000 })
    .toBeGreaterThan(before + 3_000);
  // The share that nobody renews has ended.
  expect(await host.ask('show table zdd_shop_shadow')).not.toContain('gpc0');
  process.kill(host.daemonPid, 'SIGCONT');
  const receipt = await host.receipt('shop', deployment);
  expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
  await settled(host);
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

test('SIGKILL in the middle: the next start shadows it anew', async () => {
  const deployment = await begin({ version: 'v2' }, { share: '100%', for: '8s' });
  await copying();
  await host.stopDaemon('SIGKILL');
  const before = load.snapshot().requests;
  await expect
    .poll(() => load.snapshot().requests, { timeout: 30_000 })
    .toBeGreaterThan(before + 600);
  await host.startDaemon();
  const receipt = await host.receipt('shop', deployment);
  expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
  const recovered = (await host.events()).find((told) => told.type === 'recovered');
  expect(recovered).toMatchObject({ decision: 'finish', reason: 'shadowing goes on' });
  expect(receipt.shadow?.copied).toBeGreaterThan(100);
  await settled(host);
  expect(await host.ask('show table zdd_shop_shadow')).not.toContain('gpc0');
  expect(load.snapshot()).toMatchObject({ lost: 0, appErrors: 0 });
});

test('by reload nothing can be copied: that is said, and gates.on.error decides', async () => {
  await load.stop();
  await host.remove();
  await start('reload');
  const goesOn = await begin({ version: 'v2' }, { share: '10%', for: '60s' });
  const receipt = await host.receipt('shop', goesOn);
  expect(receipt.outcome, JSON.stringify(receipt.error)).toBe('succeeded');
  const judged = (await host.events()).find(
    (told) => told.type === 'judged' && told.phase === 'shadowing',
  );
  expect(judged).toMatchObject({
    verdicts: [{ outcome: 'error', because: expect.stringContaining('haproxy.switch: runtime') }],
  });
  const refused = await begin(
    { version: 'v3' },
    { share: '10%', for: '60s' },
    { gates: { on: { error: 'rollback' } } },
  );
  const { outcome, error } = await host.receipt('shop', refused);
  expect({ outcome, code: error?.code }).toEqual({ outcome: 'failed', code: 'ZDD_SHADOW_FAILED' });
  expect(load.snapshot().lost).toBe(0);
});
