import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer as createHttp, type Server } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides } from '../../examples/build-release.ts';
import { settled, shop } from './shop.ts';

const TOKEN = 'a-token-that-is-long-enough';

let host: PrivateHost;
let metrics: Server;
const children: ChildProcess[] = [];
const ports = { agent: 0, prometheus: 0, alertmanager: 0, metrics: 0 };
/** What the scraped metrics say. */
const gauges = { broken: 0, queue: 0 };
/** What each release says of itself: orders, how many of them failed, and how long one takes, ms. */
const releases = new Map<string, { orders: number; failed: number; ms: number }>();
let count = 0;

beforeAll(async () => {
  for (const name of ['agent', 'prometheus', 'alertmanager', 'metrics'] as const) {
    ports[name] = await freePort();
  }
  metrics = createHttp((request, response) => {
    if (request.url === '/value')
      return response.end(JSON.stringify({ data: [{ n: gauges.queue }] }));
    if (request.url?.startsWith('/api/v1/query?') === true) {
      // Another Prometheus, which has last week as well: 400 orders an hour then, 200 now.
      const at = Number(new URL(request.url, 'http://x').searchParams.get('time'));
      const orders = Date.now() / 1_000 - at > 86_400 ? '400' : '200';
      const result = [{ metric: {}, value: [at, orders] }];
      return response.end(JSON.stringify({ data: { resultType: 'vector', result } }));
    }
    const [, asked = ''] = /^\/of\/(.+)$/.exec(request.url ?? '') ?? [];
    if (asked !== '') return response.end(JSON.stringify(releases.get(asked) ?? {}));
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    const own = [...releases].flatMap(([release, { orders, failed }]) => [
      `shop_orders_total{release="${release}"} ${orders}\n`,
      `shop_failed_total{release="${release}"} ${failed}\n`,
    ]);
    return response.end(
      `shop_broken ${gauges.broken}\nshop_queue ${gauges.queue}\n${own.join('')}`,
    );
  }).listen(ports.metrics, '127.0.0.1');
  host = await PrivateHost.start({
    settings: { alerts: { listen: `127.0.0.1:${ports.agent}`, token_file: await tokenFile() } },
  });
  await startMonitoring(host.dir);
  expect((await deploy({})).outcome).toBe('succeeded');
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  metrics.closeAllConnections();
  metrics.close();
  await host.remove();
});
beforeEach(async () => {
  gauges.broken = 0;
  gauges.queue = 0;
  releases.clear();
  await settled(host);
});

async function tokenFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-alerts-'));
  await writeFile(join(folder, 'token'), `${TOKEN}\n`, { mode: 0o600 });
  return join(folder, 'token');
}

/** A real Prometheus that scrapes our metrics, and a real Alertmanager that tells the agent. */
async function startMonitoring(dir: string): Promise<void> {
  const file = async (name: string, value: unknown): Promise<string> => {
    await writeFile(join(dir, name), stringify(value));
    return join(dir, name);
  };
  const rules = await file('rules.yml', {
    groups: [
      {
        name: 'shop',
        interval: '1s',
        rules: [
          {
            alert: 'ShopBroken',
            expr: 'shop_broken > 0',
            labels: { app: 'shop', severity: 'page' },
            annotations: { summary: 'orders do not arrive' },
          },
        ],
      },
    ],
  });
  const local = (port: number) => ({ static_configs: [{ targets: [`127.0.0.1:${port}`] }] });
  const prometheus = await file('prometheus.yml', {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    alerting: { alertmanagers: [local(ports.alertmanager)] },
    scrape_configs: [{ job_name: 'shop', ...local(ports.metrics) }],
  });
  const webhook = {
    url: `http://127.0.0.1:${ports.agent}/v1/alerts`,
    http_config: { authorization: { credentials: TOKEN } },
  };
  const alertmanager = await file('alertmanager.yml', {
    route: { receiver: 'agent', group_wait: '0s', group_interval: '1s', group_by: ['...'] },
    receivers: [{ name: 'agent', webhook_configs: [webhook] }],
  });
  run('prometheus-alertmanager', [
    `--config.file=${alertmanager}`,
    `--storage.path=${join(dir, 'am')}`,
    `--web.listen-address=127.0.0.1:${ports.alertmanager}`,
    '--cluster.listen-address=',
  ]);
  run('prometheus', [
    `--config.file=${prometheus}`,
    `--storage.tsdb.path=${join(dir, 'tsdb')}`,
    `--web.listen-address=127.0.0.1:${ports.prometheus}`,
  ]);
  await host.until('Prometheus to have scraped', 60_000, async () => {
    const url = `http://127.0.0.1:${ports.prometheus}/api/v1/query?query=shop_queue`;
    const text = await fetch(url).then(
      (answer) => answer.text(),
      () => '',
    );
    return text.includes('"value"');
  });
}

function run(program: string, args: readonly string[]): void {
  children.push(spawn(program, args, { stdio: 'ignore' }));
}

async function begin(config: ConfigOverrides): Promise<number> {
  count += 1;
  const behaviour = { version: `v${count}` };
  const { path } = await shop(host, { behaviour, config: { bake: '60s', ...config } });
  const { stdout } = await host.cli(['push', path, '--detach', '--json']);
  return Number(JSON.parse(stdout.trim().split('\n').at(-1) ?? '').deployment);
}

async function deploy(config: ConfigOverrides) {
  return await host.receipt('shop', await begin({ bake: '1s', ...config }));
}

async function baking(): Promise<void> {
  await host.until('the bake', 20_000, async () => {
    return (await host.app('shop'))?.deployment?.phase === 'baking';
  });
}

const ALERTS = { triggers: { alerts: { app: 'shop', severity: 'page' } } };

test('an alert that begins to fire while a release is watched takes it back', async () => {
  const id = await begin(ALERTS);
  await baking();
  gauges.broken = 1;
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_GATE_FAILED' } });
  const verdict = receipt.verdicts?.find(({ gate }) => gate === 'alert');
  expect(verdict?.says).toContain('alert ShopBroken 1 (limit 0');
  expect(verdict?.because).toBe('orders do not arrive');
});

test('an alert that fired before, or with other labels, is not about this release', async () => {
  // The one of the test before may still be on its way out.
  await noAlert();
  gauges.broken = 1;
  await host.until('the alert to fire', 30_000, async () => await alertmanagerHasIt());
  expect((await deploy({ ...ALERTS, bake: '4s' })).outcome).toBe('succeeded');
  gauges.broken = 0;
  await noAlert();
  const id = await begin({ triggers: { alerts: { app: 'another' } }, bake: '4s' });
  await baking();
  gauges.broken = 1;
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
});

async function noAlert(): Promise<void> {
  await host.until('the alert to end', 30_000, async () => {
    const url = `http://127.0.0.1:${ports.prometheus}/api/v1/alerts`;
    const fires = (await (await fetch(url)).text()).includes('ShopBroken');
    return !fires && !(await alertmanagerHasIt());
  });
}

async function alertmanagerHasIt(): Promise<boolean> {
  const url = `http://127.0.0.1:${ports.alertmanager}/api/v2/alerts?active=true`;
  return (await (await fetch(url)).text()).includes('ShopBroken');
}

test('a metric of Prometheus, of a JSON address, of a command: bad twice in a row takes it back', async () => {
  const value = `http://127.0.0.1:${ports.metrics}/value`;
  const script = `fetch('${value}').then((a) => a.json()).then(({ data }) => console.log(data[0].n))`;
  for (const source of [
    { prometheus: `http://127.0.0.1:${ports.prometheus}`, query: 'max(shop_queue)' },
    { json: value, path: 'data[0].n' },
    { run: ['node', '-e', script] },
  ]) {
    gauges.queue = 3;
    const metrics = [{ name: 'queue', max: 10, every: '1s', ...source }];
    const id = await begin({ triggers: { metrics } });
    await baking();
    gauges.queue = 50;
    const receipt = await host.receipt('shop', id);
    expect(receipt.outcome).toBe('rolled_back');
    expect(receipt.verdicts).toContainEqual(
      expect.objectContaining({ gate: 'metric', outcome: 'fail', value: 50, threshold: 10 }),
    );
    await settled(host);
  }
});

test('a count that drops against the same hour last week takes it back, seen twice', async () => {
  const prometheus = `http://127.0.0.1:${ports.metrics}`;
  const metrics = [
    { name: 'orders', query: 'orders', prometheus, last_week: true, every: '500ms' },
  ];
  const receipt = await deploy({ triggers: { metrics }, bake: '60s' });
  expect(receipt.outcome).toBe('rolled_back');
  const verdict = receipt.verdicts?.find(({ gate }) => gate === 'business');
  expect(verdict).toMatchObject({ outcome: 'fail', metric: 'orders', value: -0.5, n: 600 });
  expect(verdict?.interval?.high).toBeLessThan(0);
});

/** The release that serves says this of itself, and Prometheus knows. */
async function stableSays(says: { orders: number; failed: number; ms: number }): Promise<string> {
  const release = (await host.app('shop'))?.live ?? '';
  releases.set(release, says);
  await host.until('Prometheus to know', 30_000, async () => {
    const query = encodeURIComponent(`shop_orders_total{release="${release}"} == ${says.orders}`);
    const url = `http://127.0.0.1:${ports.prometheus}/api/v1/query?query=${query}`;
    return (await (await fetch(url)).text()).includes('"value"');
  });
  return release;
}

async function candidate(): Promise<string> {
  return await host.until('the candidate', 20_000, async () => {
    const deployment = (await host.app('shop'))?.deployment;
    const isSeen = deployment?.phase === 'baking' || deployment?.phase === 'canary';
    return isSeen && (deployment.release ?? false);
  });
}

test('counts of Prometheus are held against those of stable from before the switch', async () => {
  const metrics = [
    {
      name: 'failed orders',
      prometheus: `http://127.0.0.1:${ports.prometheus}`,
      query: 'sum(shop_failed_total{release="$ZDD_RELEASE"})',
      of: 'sum(shop_orders_total{release="$ZDD_RELEASE"})',
      relative_to: 'stable',
      max_ratio: 1.5,
      every: '500ms',
    },
  ];
  const stable = await stableSays({ orders: 1_000, failed: 20, ms: 10 });
  const id = await begin({ triggers: { metrics } });
  const release = await candidate();
  // It gets no orders any more: what comes now is nobody's.
  releases.set(stable, { orders: 2_000, failed: 1_500, ms: 10 });
  releases.set(release, { orders: 300, failed: 60, ms: 10 });
  const receipt = await host.receipt('shop', id);
  expect(receipt).toMatchObject({ outcome: 'rolled_back', error: { code: 'ZDD_GATE_FAILED' } });
  const verdict = receipt.verdicts?.find(({ gate }) => gate === 'metric');
  expect(verdict).toMatchObject({ outcome: 'fail', metric: 'failed orders', value: 0.2, n: 300 });
  expect(verdict?.threshold).toBeCloseTo(0.03, 12);
  expect(verdict?.because).toContain(`1.5 times that of ${stable} (20 of 1000), chance p = `);
});

test('a release that is no worse than stable stays, as does one that nobody can compare', async () => {
  const relative = { relative_to: 'stable', every: '300ms' };
  const json = `http://127.0.0.1:${ports.metrics}/of/$ZDD_RELEASE`;
  const metrics = [
    { name: 'failed', json, path: 'failed', of: 'orders', max_ratio: 1.5, ...relative },
    { name: 'time', json, path: 'ms', max_ratio: 1.2, at_least: 5, ...relative },
  ];
  const known = { orders: 1_000, failed: 50, ms: 10 };
  await stableSays(known);
  const id = await begin({ triggers: { metrics }, bake: '3s' });
  releases.set(await candidate(), { ...known, failed: 55, ms: 12 });
  expect((await host.receipt('shop', id)).outcome).toBe('succeeded');
  await settled(host);
  // Stable says nothing of itself.
  releases.clear();
  const unknown = await begin({ triggers: { metrics }, bake: '3s' });
  releases.set(await candidate(), { ...known, failed: 900 });
  expect((await host.receipt('shop', unknown)).outcome).toBe('succeeded');
  const judged = (await host.events()).flatMap((event) =>
    event.type === 'judged' && event.deployment === unknown ? event.verdicts : [],
  );
  expect(judged).toContainEqual(
    expect.objectContaining({
      outcome: 'error',
      because: expect.stringMatching(/^of r\d+-\w+: its answer is no number$/),
    }),
  );
});

test('a command is run for both releases, and finds the one it is asked about in its environment', async () => {
  const script = `
    fetch('http://127.0.0.1:${ports.metrics}/of/' + process.env.ZDD_RELEASE)
      .then((answer) => answer.json()).then(({ ms }) => console.log(ms))
  `;
  const metrics = [
    { name: 'time', run: ['node', '-e', script], relative_to: 'stable', max_ratio: 2, every: '1s' },
  ];
  await stableSays({ orders: 1, failed: 0, ms: 10 });
  const id = await begin({ triggers: { metrics } });
  releases.set(await candidate(), { orders: 1, failed: 0, ms: 31 });
  const receipt = await host.receipt('shop', id);
  expect(receipt.outcome).toBe('rolled_back');
  expect(receipt.verdicts?.find(({ gate }) => gate === 'metric')).toMatchObject({
    outcome: 'fail',
    value: 3.1,
    threshold: 2,
    unit: 'ratio',
  });
});

test('each step of a canary goes on where the last one was: none is long enough for two looks', async () => {
  const json = `http://127.0.0.1:${ports.metrics}/value`;
  const metrics = [{ name: 'queue', max: 10, every: '1s', json, path: 'data[0].n' }];
  gauges.queue = 50;
  const short = (percent: number) => [{ weight: `${percent}%` }, { hold: '800ms' }];
  const strategy = [10, 20, 30, 40, 50, 60, 70, 80].flatMap(short);
  const receipt = await deploy({ triggers: { metrics }, strategy, bake: '300ms' });
  expect(receipt.outcome).toBe('rolled_back');
  expect(receipt.verdicts?.find(({ gate }) => gate === 'metric')).toMatchObject({ value: 50 });
});

test('a command that takes longer than a step, or than the bake, is waited for', async () => {
  const metrics = [{ name: 'slow', max: 10, looks: 1, every: '1s', run: 'sleep 2; echo 50' }];
  const strategy = [{ weight: '10%' }, { hold: '500ms' }];
  const canary = await deploy({ triggers: { metrics }, strategy, bake: '300ms' });
  expect(canary.outcome).toBe('rolled_back');
  expect(canary.verdicts?.find(({ gate }) => gate === 'metric')).toMatchObject({ value: 50 });
  const atOnce = await deploy({ triggers: { metrics }, bake: '300ms' });
  expect(atOnce.outcome).toBe('rolled_back');
});

test('one that cannot be asked for is said, and decides nothing', async () => {
  const metrics = [
    { name: 'gone', max: 1, every: '500ms', json: 'http://127.0.0.1:1/x', path: 'n' },
  ];
  const receipt = await deploy({ triggers: { metrics }, bake: '2s' });
  expect(receipt.outcome).toBe('succeeded');
  const judged = (await host.events()).flatMap((event) =>
    event.type === 'judged' ? event.verdicts : [],
  );
  expect(judged).toContainEqual(
    expect.objectContaining({
      gate: 'metric',
      outcome: 'error',
      because: 'it cannot be asked for',
    }),
  );
});

test('only who has the token may tell, and only what an Alertmanager says', async () => {
  const post = async (token: string, body: string, path = '/v1/alerts') => {
    const url = `http://127.0.0.1:${ports.agent}${path}`;
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(url, { method: 'POST', headers, body })).status;
  };
  const message = JSON.stringify({ version: '4', alerts: [] });
  expect(await post(TOKEN, message)).toBe(200);
  expect(await post('another', message)).toBe(401);
  expect(await post(TOKEN, '{}')).toBe(400);
  expect(await post(TOKEN, message, '/')).toBe(404);
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
