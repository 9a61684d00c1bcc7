import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { PrivateHost } from '../../demo/private-host.ts';
import { deploy, replace, toldIn } from './long-app.ts';
import { BY_RELOAD } from './shop.ts';

const opened: Socket[] = [];
const hosts: PrivateHost[] = [];
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy();
  for (const host of hosts.splice(0)) await host.remove();
});

async function started(): Promise<PrivateHost> {
  const host = await PrivateHost.start();
  hosts.push(host);
  return host;
}

/** A connection to the app through HAProxy, what it got, and when it was closed. */
interface Held {
  readonly openedAt: number;
  received: string;
  receivedAt: number | null;
  closedAt: number | null;
}

/** Sends a request; resolves with the first byte of its answer, or when it is sent. */
async function hold(host: PrivateHost, head: string, until: 'answered' | 'sent'): Promise<Held> {
  const socket = connect(Number(new URL(host.url).port), '127.0.0.1');
  const held: Held = { openedAt: Date.now(), received: '', receivedAt: null, closedAt: null };
  opened.push(socket);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket
    .on('error', () => undefined)
    .on('close', () => {
      held.closedAt = Date.now();
    });
  socket.on('data', (chunk) => {
    held.received += chunk.toString('latin1');
    held.receivedAt = Date.now();
    resolve();
  });
  socket.write(`${head}\r\nHost: shop\r\n\r\n`, () => (until === 'sent' ? resolve() : undefined));
  await promise;
  return held;
}

const WEBSOCKET =
  'GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
/** One of each kind that may live for hours. */
const LONG = [
  WEBSOCKET,
  'GET /sse HTTP/1.1',
  'POST /grpc HTTP/1.1\r\nContent-Length: 0',
  'CONNECT shop:80 HTTP/1.1',
];

test('on_switch: pace closes long connections from the promotion on, and nothing before', async () => {
  const host = await started();
  const drain = { websockets: '1h', requests: '1h', on_switch: 'pace', pace: '100/s' };
  await deploy(host, 'p1', { drain });
  const held = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      hold(host, LONG[index % LONG.length] ?? '', 'answered'),
    ),
  );
  const [live] = (await host.app('shop'))?.generations ?? [];
  expect(live).toMatchObject({ websockets: 20, streams: 20, requests: 0 });
  const story = await replace(host, 'p2', { drain });
  const promoted = story.find(({ type }) => type === 'deployment_ended')?.at ?? Infinity;
  const stopped = story.find(({ type }) => type === 'release_stopped')?.at ?? 0;
  const closed = held.map(({ closedAt }) => closedAt ?? 0).toSorted((a, b) => a - b);
  expect(closed[0]).toBeGreaterThanOrEqual(promoted);
  expect(closed.at(-1)).toBeLessThanOrEqual(stopped);
});

test('what is short is never cut, and what outstays its deadline does not hold the release', async () => {
  const host = await started();
  const drain = { websockets: '0s', requests: '5s', pace: '100/s' };
  await deploy(host, 'q1', { drain });
  const sse = await hold(host, 'GET /sse HTTP/1.1', 'answered');
  const slow = await hold(host, 'GET /slow?ms=3500 HTTP/1.1\r\nConnection: close', 'sent');
  const endless = await hold(host, 'POST /slow?ms=3600000 HTTP/1.1\r\nContent-Length: 0', 'sent');
  await hold(host, 'GET /slow?ms=3600000 HTTP/1.1', 'sent');
  const story = await replace(host, 'q2', { drain });
  const stopped = story.find(({ type }) => type === 'release_stopped')?.at ?? 0;
  // The stream first, then the request to its end, then the one that would never end.
  expect(sse.closedAt).toBeLessThan(slow.closedAt ?? 0);
  expect(slow.received).toContain('200 OK');
  const endedAt = endless.receivedAt ?? endless.closedAt ?? 0;
  expect(endedAt - endless.openedAt).toBeGreaterThanOrEqual(5_000);
  expect(endedAt).toBeLessThanOrEqual(stopped);
  // HAProxy 2.6 answers for an app that has not begun to, and sends what may be sent twice to the new
  // release, which a worker from before a reload does not know. 3.0 and 3.2 close the one as the other
  // without a word.
  const { stdout } = await promisify(execFile)('haproxy', ['-v']);
  const answers = /version 2\.6\./.test(stdout);
  expect(endless.received.slice(0, 12)).toBe(answers ? 'HTTP/1.1 502' : '');
  const [live] = (await host.app('shop'))?.generations ?? [];
  expect(live?.requests).toBe(answers && !BY_RELOAD ? 1 : 0);
});

test('a notice by POST reaches each old instance with its deadlines, and nobody else can send it', async () => {
  const host = await started();
  const drain = { websockets: '1h', notice: { post: '/_drain' } };
  await deploy(host, 'n1', { drain });
  const outside = await hold(host, 'POST /_drain HTTP/1.1\r\nContent-Length: 0', 'answered');
  expect(outside.received).toMatch(/^HTTP\/1\.1 404 /);
  const story = await replace(host, 'n2', { drain });
  const told = (await readFile(toldIn(host), 'utf8')).trim().split('\n').toSorted();
  expect(told.map((line) => line.split(' ')[0])).toEqual(['shop.r1-d1-web-1', 'shop.r1-d1-web-2']);
  const notice: unknown = JSON.parse(told[0]?.slice('shop.r1-d1-web-1 '.length) ?? '');
  expect(notice).toMatchObject({ event: 'draining', app: 'shop', slot: 'r1-d1-web-1' });
  const given = story.filter((event) => event.type === 'drain_notice');
  expect(given.map(({ how, error }) => `${how} ${error}`)).toEqual(
    Array.from({ length: 2 }, () => 'POST /_drain null'),
  );
});

test('a notice by signal goes only to those that handle it: it would end the others', async () => {
  const host = await started();
  const drain = { notice: 'SIGUSR2' };
  await deploy(host, 's1', { drain });
  const deaf = await replace(host, 's2', { drain, env: { CATCHES: 'yes' } });
  expect(deaf.filter(({ type }) => type === 'instance_exited')).toEqual([]);
  expect(deaf.find((event) => event.type === 'drain_notice')?.error).toContain('SIGUSR2');
  await replace(host, 's3', { drain });
  const told = (await readFile(toldIn(host), 'utf8')).trim().split('\n').toSorted();
  expect(told).toEqual(['shop.r2-d2-web-1 SIGUSR2', 'shop.r2-d2-web-2 SIGUSR2']);
});
