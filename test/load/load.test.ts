import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startLoad } from '../../load/load.ts';
import { DEFAULT_MIX, pacing } from '../../load/mix.ts';
import { now } from '../../load/outcome.ts';
import { listenHttp, listenTcp, runShop, until } from './running.ts';

const NO_REQUESTS = { busy: 0, idle: 0, fresh: 0, slow: 0, upload: 0, stream: 0 };

async function ledgerFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'zdd-test-ledger-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('a steady app loses nothing, and every kind is there', async () => {
  await using ledger = await ledgerFolder();
  await using shop = await runShop(
    { version: 'v1' },
    { ZDD_SHOP_LEDGER: ledger.path, ZDD_RELEASE: 'r1-abc' },
  );
  await using load = startLoad({
    url: shop.url,
    websockets: 20,
    wsIntervalMs: 50,
    rate: 400,
    ledger: ledger.path,
  });
  await load.ready(10_000);
  await until(() => load.snapshot().requests > 300, 'three hundred requests');
  const report = await load.stop();

  expect(report).toMatchObject({ lost: 0, appErrors: 0, lostByReason: {}, full: false });
  expect(report.byRelease).toEqual({ 'r1-abc': report.requests });
  for (const kind of Object.values(report.byKind)) expect(kind.requests).toBeGreaterThan(0);
  expect(report.byKind.fresh.reused).toBe(0);
  expect(report.byKind.busy.reused).toBe(report.byKind.busy.requests - DEFAULT_MIX.busy);
  expect(report.websockets).toMatchObject({ opened: 20, held: 20, gaps: 0, cutEarly: 0 });
  expect(report.ledger).toEqual({
    uploads: report.byKind.upload.requests,
    duplicates: [],
    workerOverlaps: 0,
  });
  expect(await load.stop()).toBe(report);
});

test('an upload that arrives twice is seen in the ledger and by the app', async () => {
  await using ledger = await ledgerFolder();
  await using shop = await runShop({ version: 'v1' }, { ZDD_SHOP_LEDGER: ledger.path });
  await using other = await runShop({ version: 'v2' }, { ZDD_SHOP_LEDGER: ledger.path });
  await using load = startLoad({
    url: shop.url,
    mix: { ...NO_REQUESTS, upload: 1 },
    ledger: ledger.path,
  });
  await load.ready(10_000);
  const [id = ''] = (await readFile(join(ledger.path, 'requests.log'), 'utf8')).split(' ');
  await fetch(`${other.url}/upload`, {
    method: 'POST',
    body: 'again',
    headers: { 'x-request-id': id },
  });
  expect((await load.stop()).ledger?.duplicates).toEqual([id]);
  const told = await (await fetch(`${shop.url}/duplicates`)).json();
  expect(told).toMatchObject({ duplicates: { [id]: 2 } });
});

test('a killed app is noticed by every kind, and by every WebSocket', async () => {
  await using shop = await runShop({ version: 'v1' });
  await using load = startLoad({ url: shop.url, websockets: 10, rate: 400 });
  await load.ready(10_000);
  shop.process.kill('SIGKILL');
  await until(() => load.websocketCloses.length === 10, 'all WebSockets are closed');
  await until(() => load.snapshot().lost > 100, 'a hundred lost requests');
  const report = await load.stop();
  for (const [kind, { lost }] of Object.entries(report.byKind)) {
    expect(lost, kind).toBeGreaterThan(0);
  }
  expect(report.lostByReason.refused).toBeGreaterThan(0);
  expect(report.losses.length).toBe(Math.min(report.lost, 50_000));
  expect(report.websockets).toMatchObject({ opened: 10, held: 0, cutEarly: 10 });
});

test("the app's own failures are no losses", async () => {
  await using shop = await runShop({ version: 'v4', failAfterRequests: 30, status: 500 });
  await using load = startLoad({
    url: shop.url,
    mix: { ...NO_REQUESTS, busy: 4, upload: 2 },
    rate: 400,
  });
  await until(() => load.snapshot().appErrors > 50, 'fifty failures');
  const health = await fetch(`${shop.url}/healthz`);
  expect(health.status).toBe(200);
  const report = await load.stop();
  expect(report.lost).toBe(0);
  expect(report.requests - report.appErrors).toBe(30);
});

test('what is in flight at the stop may end, what does not is a timeout', async () => {
  await using patient = await runShop({ version: 'v1' });
  await using finished = startLoad({ url: patient.url, mix: { ...NO_REQUESTS, slow: 4 } });
  await until(() => finished.snapshot().inFlight === 4, 'four slow requests in flight');
  expect(await finished.stop()).toMatchObject({ lost: 0 });

  await using silent = await listenTcp(() => {});
  await using stuck = startLoad({
    url: silent.url,
    mix: { ...NO_REQUESTS, busy: 3 },
    deadlineMs: 600_000,
  });
  await until(() => stuck.snapshot().inFlight === 3, 'three requests in flight');
  expect(await stuck.stop(50)).toMatchObject({
    requests: 3,
    lost: 3,
    lostByReason: { timeout: 3 },
  });
});

test('the first answer of a release is told, once it is there', async () => {
  let release = 'r1';
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, { 'x-release': release }).end('shop ');
  });
  await using load = startLoad({ url: server.url, mix: { ...NO_REQUESTS, busy: 2 }, rate: 200 });
  const first = await load.firstAnswerFrom('r1', { timeoutMs: 5_000 });
  expect(await load.firstAnswerFrom('r1', { timeoutMs: 0 })).toBeCloseTo(first, 0);
  await expect(load.firstAnswerFrom('r2', { timeoutMs: 50 })).rejects.toThrow('no answer from r2');
  const changedAt = now();
  const told = load.firstAnswerFrom('r2', { timeoutMs: 5_000 });
  release = 'r2';
  expect(await told).toBeGreaterThanOrEqual(changedAt);
  release = 'r1';
  const sinceMs = now() + 200;
  const later = await load.firstAnswerFrom('r1', { sinceMs, timeoutMs: 5_000 });
  expect(later).toBeGreaterThanOrEqual(sinceMs);
  await load.stop();
});

test('a load that is not answered says what is missing', async () => {
  await using silent = await listenTcp(() => {});
  await using load = startLoad({
    url: silent.url,
    mix: { ...NO_REQUESTS, busy: 1 },
    websockets: 2,
  });
  await expect(load.ready(50)).rejects.toThrow('no good answer for busy, 2 WebSockets not open');
  await load.stop(0);
});

test('the load ends itself when it has sent as many requests as it may keep', async () => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, { 'x-release': 'r1' }).end('shop ');
  });
  await using load = startLoad({
    url: server.url,
    mix: { ...NO_REQUESTS, busy: 1 },
    maxRequests: 5,
    rate: 200,
  });
  await until(() => load.snapshot().requests === 5, 'five requests');
  expect(await load.stop()).toMatchObject({ requests: 5, full: true });
});

test('the pace of the clients adds up to the rate', () => {
  const rate = 800;
  const paced = pacing(DEFAULT_MIX, rate);
  const ofKind = (kind: 'busy' | 'fresh' | 'upload') =>
    (1_000 * DEFAULT_MIX[kind]) / (paced.get(kind) ?? Number.NaN);
  const others = 20 / 0.17 + 8 / 1.05 + 4 / 0.2;
  expect(ofKind('busy') + ofKind('fresh') + ofKind('upload') + others).toBeCloseTo(rate, 6);
  expect(ofKind('busy')).toBeCloseTo(8 * ofKind('upload'), 6);
});
