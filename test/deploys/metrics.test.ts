import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { z } from 'zod';
import { PrivateHost } from '../../demo/private-host.ts';
import { push, settled } from './shop.ts';

const TOKEN = 'a-token-that-is-long-enough';

let host: PrivateHost;
let prometheus: ChildProcess;
const ports = { metrics: 0, prometheus: 0 };

beforeAll(async () => {
  ports.metrics = await freePort();
  ports.prometheus = await freePort();
  host = await PrivateHost.prepare();
  const token = join(host.dir, 'metrics.token');
  await writeFile(token, `${TOKEN}\n`, { mode: 0o600 });
  const yaml = await readFile(join(host.dir, 'agent.yaml'), 'utf8');
  const metrics = { listen: `127.0.0.1:${ports.metrics}`, token_file: token };
  await writeFile(join(host.dir, 'agent.yaml'), yaml + stringify({ metrics }));
  await host.startDaemon();
  await startPrometheus();
  expect((await push(host, { behaviour: { version: 'v1' } })).code).toBe(0);
});
afterAll(async () => {
  prometheus.kill('SIGKILL');
  await host.remove();
});

async function startPrometheus(): Promise<void> {
  const file = join(host.dir, 'prometheus.yml');
  const scrape = {
    job_name: 'zdd-agent',
    scrape_interval: '1s',
    authorization: { credentials: TOKEN },
    static_configs: [{ targets: [`127.0.0.1:${ports.metrics}`] }],
  };
  await writeFile(file, stringify({ scrape_configs: [scrape] }));
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(host.dir, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${ports.prometheus}`,
    ],
    { stdio: 'ignore' },
  );
}

const answer = z.object({
  data: z.object({
    result: z.array(
      z.object({
        metric: z.record(z.string(), z.string()),
        value: z.tuple([z.number(), z.string()]),
      }),
    ),
  }),
});

/** What Prometheus says to a query: labels, and the number. */
async function ask(query: string): Promise<{ labels: Record<string, string>; value: number }[]> {
  const url = `http://127.0.0.1:${ports.prometheus}/api/v1/query?query=${encodeURIComponent(query)}`;
  const text = await fetch(url).then(
    (reply) => reply.text(),
    () => '{"data":{"result":[]}}',
  );
  return answer
    .parse(JSON.parse(text))
    .data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
}

async function until(query: string): Promise<void> {
  await host.until(query, 60_000, async () => (await ask(query)).length > 0);
}

/** What the control socket answers. */
function bySocket(): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath: host.socket, path: '/v1/metrics', agent: false }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      reply.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
}

/** The text, by the CLI. */
async function text(): Promise<string> {
  const { code, stdout } = await host.cli(['metrics']);
  expect(code).toBe(0);
  return stdout;
}

test('Prometheus knows what serves, what it answered and how deployments have ended', async () => {
  for (let i = 0; i < 50; i++) expect((await fetch(host.url)).status).toBe(200);
  await until('sum(zdd_requests_total{app="shop",result="answered"}) >= 50');
  expect(await ask('up{job="zdd-agent"}')).toMatchObject([{ value: 1 }]);
  const [live] = await ask('zdd_stable_release_info{app="shop"}');
  expect(live?.labels['release']).toMatch(/^r1-/);
  expect(await ask('zdd_release_traffic_ratio{app="shop"}')).toMatchObject([{ value: 1 }]);
  expect(
    await ask('zdd_release_instances{app="shop",process="web",state="running"}'),
  ).toMatchObject([{ value: 2 }]);
  expect(await ask('zdd_haproxy_up')).toMatchObject([{ value: 1 }]);
  expect(await ask('zdd_deployments_total{app="shop",outcome="succeeded"}')).toMatchObject([
    { value: 1 },
  ]);
  expect(await ask('zdd_deployment_lost_requests_total')).toMatchObject([{ value: 0 }]);
  const [wait] = await ask('histogram_quantile(1, zdd_response_wait_seconds_bucket{app="shop"})');
  expect(wait?.value).toBeGreaterThan(0);
  expect(await ask('zdd_disk_free_bytes > 0')).toHaveLength(1);
});

test('a failed deployment, a phase, a draining release: while they are', async () => {
  const broken = { behaviour: { version: 'v2', health: 'never' } as const };
  expect((await push(host, broken, ['--probe-timeout', '1s'])).code).toBe(20);
  await until('zdd_deployments_total{app="shop",outcome="failed"} == 1');
  const config = { bake: '4s', warm: '20s' };
  const pushed = push(host, { behaviour: { version: 'v3' }, config });
  await until('zdd_deployment_phase_info{app="shop",phase="baking"}');
  await until('zdd_deployment_running{app="shop"} == 1');
  expect((await pushed).code).toBe(0);
  await until('zdd_deployment_running{app="shop"} == 0');
  await until('zdd_release_generations{app="shop",role="warm"} == 1');
  await until('zdd_release_warm_until_timestamp_seconds{app="shop"} > time()');
  await settled(host, 60_000);
});

test('what Prometheus itself thinks of names, helps and types: nothing to complain about', async () => {
  const checked = execFileSync('promtool', ['check', 'metrics'], { input: await text() });
  expect(checked.toString()).toBe('');
  // A sample twice would be refused as well, and none of a metric stands apart from the others.
  const samples = (await text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const names = samples.map((line) => line.slice(0, line.lastIndexOf(' ')));
  expect(new Set(names).size).toBe(names.length);
});

test('who comes while others are answered gets what they get', async () => {
  const texts = await Promise.all([1, 2, 3, 4].map(() => bySocket()));
  expect(new Set(texts).size).toBe(1);
  expect(texts[0]).toContain('zdd_haproxy_up 1');
});

test('counters of requests begin again with the agent, those of deployments go on', async () => {
  const ends = /^zdd_deployments_total\{app="shop",outcome="succeeded"\} (\d+)$/m;
  const before = ends.exec(await text())?.[1];
  await host.stopDaemon('SIGKILL');
  await host.startDaemon();
  expect(ends.exec(await text())?.[1]).toBe(before);
});

test('only who has the token reads them by TCP, and nothing else is there', async () => {
  const get = (path: string, method: string, token?: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      request({ port: ports.metrics, path, method, headers }, (reply) => {
        reply.resume();
        resolve(reply.statusCode);
      })
        .on('error', reject)
        .end();
    });
  await host.until('the listener', 10_000, () =>
    get('/metrics', 'GET', TOKEN).then(
      (status) => status === 200,
      () => false,
    ),
  );
  expect(await get('/metrics', 'GET')).toBe(401);
  expect(await get('/metrics', 'GET', 'another')).toBe(401);
  expect(await get('/metrics', 'POST', TOKEN)).toBe(405);
  expect(await get('/v1/status', 'GET', TOKEN)).toBe(404);
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
