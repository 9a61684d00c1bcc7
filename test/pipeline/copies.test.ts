import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MirroredRequest } from '../../agent/haproxy/proxy.ts';
import { Copies } from '../../agent/pipeline/copies.ts';
import type { Listen } from '../../agent/runner/runner.ts';

/** For a machine that is busy. */
const LATE_MS = 20_000;

let folder: string;
let listen: Listen;
let server: Server;
let seen: IncomingMessage[];
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-copies-'));
  const path = join(folder, 'app.sock');
  listen = { kind: 'unix', path, activation: false };
  seen = [];
  answer = (_, response) => response.end('ok');
  server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

const copy = (changes: Partial<MirroredRequest> = {}): MirroredRequest => ({
  method: 'GET',
  path: '/a?b=c',
  headers: { host: 'shop.test' },
  body: null,
  status: 200,
  waitMs: 3,
  ...changes,
});

const copiesTo = (timeoutMs = 10_000, now?: () => number): Copies =>
  new Copies({ listens: [listen], timeoutMs, ...(now === undefined ? {} : { now }) });

test('a copy is asked as it came, and marked', async () => {
  const copies = copiesTo();
  copies.offer(copy());
  await copies.close();
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /a?b=c']);
  expect(seen[0]?.headers).toEqual({ host: 'shop.test', 'x-zdd-shadow': '1', connection: 'close' });
  expect(copies.tally).toMatchObject({ pairs: 1, judged: 1, failed: 0 });
});

test('a body travels with its length', async () => {
  let body = '';
  answer = (request, response) => {
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => response.end());
  };
  const copies = copiesTo();
  copies.offer(copy({ method: 'POST', body: Buffer.from('hello') }));
  await copies.close();
  expect(body).toBe('hello');
  expect(seen[0]?.headers).toMatchObject({ 'content-length': '5' });
});

test('both sides are counted by class; what live failed is held against nobody', async () => {
  answer = (request, response) => {
    response.statusCode = Number(request.url?.slice(1));
    response.end();
  };
  const copies = copiesTo();
  copies.offer(copy({ status: 200, path: '/200' }));
  copies.offer(copy({ status: 200, path: '/500' }));
  copies.offer(copy({ status: 404, path: '/503' }));
  copies.offer(copy({ status: 502, path: '/500' }));
  copies.offer(copy({ status: 302, path: '/404' }));
  await copies.close();
  expect(copies.tally).toMatchObject({
    pairs: 5,
    judged: 4,
    failed: 2,
    live: { '2xx': 2, '3xx': 1, '4xx': 1, '5xx': 1, none: 0 },
    candidate: { '2xx': 1, '3xx': 0, '4xx': 1, '5xx': 3, none: 0 },
  });
  // Waits of failures are in neither.
  expect([...copies.tally.liveLatency]).toEqual([[3, 2]]);
});

test('no answer in time, and none at all, are failures', async () => {
  answer = (request) => {
    if (request.url === '/reset') request.socket.destroy();
  };
  const copies = copiesTo(50);
  copies.offer(copy({ path: '/hangs' }));
  copies.offer(copy({ path: '/reset' }));
  await copies.close();
  expect(copies.tally).toMatchObject({ pairs: 2, failed: 2, candidate: { none: 2 } });
});

test('who was held up himself does not blame the candidate', async () => {
  answer = () => undefined;
  const copies = copiesTo(50);
  copies.offer(copy());
  await expect.poll(() => seen.length, { timeout: LATE_MS, interval: 1 }).toBe(1);
  // As a stopped process: nothing of it runs meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  await copies.close();
  expect(copies.tally).toMatchObject({ pairs: 0, failed: 0 });
  expect(copies.dropped).toBe(1);
});

test('under pressure copies are dropped: eight at once, 64 that wait', async () => {
  const open: ServerResponse[] = [];
  answer = (_, response) => open.push(response);
  const copies = copiesTo();
  for (let n = 0; n < 100; n += 1) copies.offer(copy());
  expect(copies.dropped).toBe(100 - 8 - 64);
  await expect.poll(() => open.length, { timeout: LATE_MS }).toBe(8);
  answer = (_, response) => response.end();
  for (const response of open) response.end();
  await expect.poll(() => copies.tally.pairs, { timeout: LATE_MS }).toBe(72);
  await copies.close();
  expect(seen).toHaveLength(72);
});

test('no more than 200 a second, however fast they are answered', async () => {
  let now = 0;
  const copies = copiesTo(10_000, () => now);
  const offer = async (n: number): Promise<void> => {
    for (let offered = 0; offered < n; offered += 1) {
      const sent = copies.tally.pairs + copies.dropped;
      copies.offer(copy());
      await expect
        .poll(() => copies.tally.pairs + copies.dropped, { interval: 1, timeout: LATE_MS })
        .toBe(sent + 1);
    }
  };
  await offer(250);
  expect(copies.dropped).toBe(50);
  now = 250;
  await offer(100);
  await copies.close();
  expect(copies.dropped).toBe(100);
  expect(seen).toHaveLength(250);
});

test('what is ended is not told as a failure of the candidate', async () => {
  answer = () => undefined;
  const copies = copiesTo();
  for (let n = 0; n < 20; n += 1) copies.offer(copy());
  await expect.poll(() => seen.length, { timeout: LATE_MS }).toBe(8);
  copies.abort();
  await copies.close();
  expect(copies.tally.pairs).toBe(0);
  expect(seen).toHaveLength(8);
});
