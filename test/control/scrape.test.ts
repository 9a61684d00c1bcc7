import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenForScrapes } from '../../agent/control/scrape.ts';
import { listenForAlerts } from '../../agent/watch/alertmanager.ts';

const TOKEN = 'a-token-that-is-long-enough';

let folder: string;
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-scrape-'));
  await writeFile(join(folder, 'token'), `${TOKEN}\n`, { mode: 0o600 });
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(folder, { recursive: true });
});

/** @returns where it listens */
async function open(tokenFile: string | null): Promise<string> {
  const control = fastify();
  control.get('/v1/metrics', () => 'zdd_haproxy_up 1\n');
  control.get('/v1/status', () => 'nobody else is to see this');
  const server = await listenForScrapes({ host: '127.0.0.1', port: 0, tokenFile }, control);
  return placeOf(server);
}

function placeOf(server: Server): string {
  servers.push(server);
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('it does not listen');
  return `http://127.0.0.1:${address.port}`;
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

test('without a token everybody there reads metrics, and nothing else', async () => {
  const place = await open(null);
  const answer = await fetch(`${place}/metrics`);
  expect([answer.status, await answer.text()]).toEqual([200, 'zdd_haproxy_up 1\n']);
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  for (const path of ['/', '/v1/status', '/v1/metrics', '/metrics/../v1/status', '/metricsx']) {
    expect((await fetch(`${place}${path}`)).status).toBe(404);
  }
  expect((await fetch(`${place}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
});

test('with a token, only who brings it', async () => {
  const place = await open(join(folder, 'token'));
  expect((await fetch(`${place}/metrics`, bearer(TOKEN))).status).toBe(200);
  expect((await fetch(`${place}/metrics`)).status).toBe(401);
  expect((await fetch(`${place}/metrics`, bearer(`${TOKEN}x`))).status).toBe(401);
});

test('a token that is short or cannot be read opens nothing', async () => {
  await writeFile(join(folder, 'short'), 'secret\n');
  await expect(open(join(folder, 'short'))).rejects.toMatchObject({
    code: 'ZDD_AGENT_CONFIG_INVALID',
    message: expect.stringContaining('shorter than 16'),
  });
  await expect(open(join(folder, 'none'))).rejects.toMatchObject({
    message: `metrics.token_file cannot be read: ${folder}/none`,
  });
});

test('the listener for alerts asks for its token in the same way', async () => {
  const tokenFile = join(folder, 'token');
  const place = placeOf(
    await listenForAlerts({ host: '127.0.0.1', port: 0, tokenFile }, () => undefined),
  );
  const post = async (token: string) => {
    const body = JSON.stringify({ version: '4', alerts: [] });
    return (await fetch(`${place}/v1/alerts`, { method: 'POST', body, ...bearer(token) })).status;
  };
  expect(await post(TOKEN)).toBe(200);
  expect(await post('another')).toBe(401);
});
