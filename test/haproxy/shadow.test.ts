import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DesiredProxy, DesiredShadow } from '../../agent/haproxy/desired.ts';
import type { MirroredRequest } from '../../agent/haproxy/proxy.ts';
import { type App, type Lab, openLab, shop, soon, until } from './harness.ts';

let lab: Lab;
let app: App;
/** Headers that the app has got, request by request. */
let got: NodeJS.Dict<string | string[]>[];
let ending: AbortController;
let mirroring: Promise<void> | undefined;

beforeEach(async () => {
  got = [];
  ending = new AbortController();
  mirroring = undefined;
  lab = await openLab();
  await lab.proxy.open(soon());
  app = await lab.app('r1', (incoming, response) => {
    got.push(incoming.headers);
    if (incoming.url?.startsWith('/broken') === true) response.statusCode = 500;
    incoming.resume().on('end', () => response.end('r1'));
  });
});

afterEach(async () => {
  ending.abort();
  await mirroring;
  await lab.close();
});

const DEFAULTS: DesiredShadow = { headers: [], bodies: [] };

function shadowed(shadow: DesiredShadow = DEFAULTS): DesiredProxy {
  const { apps } = shop(lab.server('r1', 100));
  return { apps: apps.map((each) => ({ ...each, shadow })) };
}

/** Begins to copy, and returns what is copied from then on. */
async function copying(share = 1): Promise<(MirroredRequest | 'unfit')[]> {
  const copies: (MirroredRequest | 'unfit')[] = [];
  mirroring = lab.proxy.mirror(
    { app: 'shop', share, seen: (copy) => copies.push(copy) },
    ending.signal,
  );
  await until('the share to be in force', async () => (await flag()) > 0);
  return copies;
}

/** What HAProxy's die is thrown against: of 10,000. */
async function flag(): Promise<number> {
  return Number(/gpc0=(\d+)/.exec(await lab.ask('show table zdd_shop_shadow'))?.[1] ?? 0);
}

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function send({ method = 'GET', path = '/', headers = {}, body }: Sent): Promise<number> {
  return new Promise((resolve, reject) => {
    const place = { host: '127.0.0.1', port: lab.port, agent: false as const };
    const outgoing = request({ ...place, method, path, headers }, (incoming) => {
      incoming.resume().on('end', () => resolve(incoming.statusCode ?? 0));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function copiesOf(copies: readonly unknown[], n: number): Promise<void> {
  await until(`${n} copies`, () => copies.length >= n);
}

test('a copy has what was asked and how it was answered', async () => {
  await lab.proxy.apply(shadowed(), soon());
  const copies = await copying();
  await send({ path: '/a?b=%20c|d<e>', headers: { accept: 'text/*; q="1|2"', 'x-else': 'no' } });
  await send({ path: '/broken', method: 'HEAD', headers: { host: 'shop.test:80' } });
  await copiesOf(copies, 2);
  expect(copies[0]).toEqual({
    method: 'GET',
    path: '/a?b=%20c|d<e>',
    headers: { host: `127.0.0.1:${lab.port}`, accept: 'text/*; q="1|2"' },
    body: null,
    status: 200,
    waitMs: expect.any(Number),
  });
  expect(copies[1]).toMatchObject({
    method: 'HEAD',
    status: 500,
    headers: { host: 'shop.test:80' },
  });
});

test('what HAProxy answers itself is told as what the user got', async () => {
  await lab.proxy.apply(shadowed(), soon());
  const copies = await copying();
  await app.stop();
  expect(await send({})).toBe(503);
  await copiesOf(copies, 1);
  expect(copies[0]).toMatchObject({ status: 503 });
});

test('X-Zdd-Shadow from outside is taken off, with or without shadow', async () => {
  for (const desired of [shop(lab.server('r1', 100)), shadowed()]) {
    await lab.proxy.apply(desired, soon());
    await send({ headers: { 'X-Zdd-Shadow': '1', 'x-kept': 'yes' } });
    expect(got.at(-1)).toMatchObject({ 'x-kept': 'yes' });
    expect(got.at(-1)).not.toHaveProperty('x-zdd-shadow');
  }
});

test('Cookie and Authorization are copied only when they are named', async () => {
  const headers = { cookie: 'session=secret', authorization: 'Bearer secret' };
  await lab.proxy.apply(shadowed(), soon());
  const copies = await copying();
  await send({ headers });
  await copiesOf(copies, 1);
  expect(JSON.stringify(copies)).not.toMatch(/secret|cookie|authorization/i);
  expect(await lab.ask('show events zdd-copies')).not.toMatch(/cookie|authorization/i);

  ending.abort();
  await mirroring;
  ending = new AbortController();
  await lab.proxy.apply(shadowed({ headers: ['cookie', 'authorization'], bodies: [] }), soon());
  const named = await copying();
  await send({ headers });
  await copiesOf(named, 1);
  expect(named[0]).toMatchObject({ headers });
});

test('a POST is copied only where its path is named, with its body or not at all', async () => {
  await lab.proxy.apply(shadowed({ headers: [], bodies: ['/search'] }), soon());
  const copies = await copying();
  await send({ method: 'POST', path: '/order', body: 'x' });
  await send({ method: 'DELETE', path: '/order/1' });
  await send({ method: 'POST', path: '/search/deeper', body: 'x' });
  await send({ method: 'POST', path: '/search?q=1', body: 'a body | with <all> \u0000 of it' });
  await copiesOf(copies, 1);
  expect(copies).toMatchObject([{ method: 'POST', path: '/search?q=1', status: 200 }]);
  expect(String((copies[0] as MirroredRequest).body)).toBe('a body | with <all> \u0000 of it');
  // Too long, and one that comes after its head: the live request does not wait for it.
  await send({ method: 'POST', path: '/search', body: 'x'.repeat(9_000) });
  await copiesOf(copies, 2);
  const late = rawLate(
    'POST /search HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n',
  );
  await until('the app to have the head', () => app.seen.length === 6);
  late.finish('late');
  expect(await late.answer).toMatch(/^HTTP\/1\.1 200 /);
  await copiesOf(copies, 3);
  expect(copies.slice(1)).toEqual(['unfit', 'unfit']);
});

test('no WebSocket is copied, and no request too long for it', async () => {
  await lab.proxy.apply(shadowed(), soon());
  const copies = await copying();
  const upgrade = rawLate(
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await until('the upgrade', () => upgrade.received().startsWith('HTTP/1.1 101'));
  upgrade.close();
  await send({ path: `/${'x'.repeat(7_000)}`, headers: { 'user-agent': 'y'.repeat(6_500) } });
  await send({ path: '/last' });
  await until('the last', () => copies.some((copy) => copy !== 'unfit' && copy.path === '/last'));
  expect(copies.filter((copy) => copy !== 'unfit')).toHaveLength(1);
  expect(copies).toHaveLength(2);
});

test('a share is a share, and none at all when nobody copies', async () => {
  await lab.proxy.apply(shadowed(), soon());
  await send({});
  expect(await lab.ask('show events zdd-copies')).toBe('');
  const copies = await copying(0.2);
  for (let n = 0; n < 40; n += 1) {
    await Promise.all(Array.from({ length: 10 }, () => send({})));
  }
  // 400 throws at 1 in 5: 80 and 8 sigma of 8.
  expect(copies.length).toBeGreaterThan(16);
  expect(copies.length).toBeLessThan(144);
  ending.abort();
  await mirroring;
  expect(await flag()).toBe(0);
});

test('it goes on through a reload, which begins with nothing copied', async () => {
  await lab.proxy.apply(shadowed(), soon());
  const copies = await copying();
  await lab.proxy.apply(shadowed({ headers: ['x-more'], bodies: [] }), soon());
  await until('the share in the new worker', async () => (await flag()) > 0);
  const before = copies.length;
  await until('a copy of the new worker', async () => {
    await send({ headers: { 'x-more': 'yes' } });
    return copies.length > before;
  });
  expect(copies.at(-1)).toMatchObject({ headers: { 'x-more': 'yes' } });
});

test('where HAProxy takes no commands it is said at once, and nothing is copied', async () => {
  await lab.proxy.apply(shadowed(), soon());
  const looking = lab.again({ switchBy: () => 'reload' });
  const copying = looking.mirror({ app: 'shop', share: 1, seen: () => undefined }, soon());
  await expect(copying).rejects.toMatchObject({ code: 'ZDD_HAPROXY_COMMAND' });
  expect(await flag()).toBe(0);
});

test('who copies and is gone leaves nothing on: the share ends by itself', async () => {
  await lab.proxy.apply(shadowed(), soon());
  await lab.ask('set table zdd_shop_shadow key share data.gpc0 10000');
  await until('the share to end', async () => {
    // Requests look at it, and do not keep it alive.
    expect(await send({})).toBe(200);
    return (await flag()) === 0;
  });
});

test('a reader that hangs costs nobody an answer', async () => {
  await lab.proxy.apply(shadowed(), soon());
  await lab.ask('set table zdd_shop_shadow key share data.gpc0 10000');
  const reader = rawLate('show events zdd-copies -w -n\n', lab.options.adminSocket);
  reader.hang();
  const path = `/${'x'.repeat(3_000)}`;
  // Several times what the ring and the socket hold.
  for (let n = 0; n < 150; n += 1) {
    if (n % 30 === 0) await lab.ask('set table zdd_shop_shadow key share data.gpc0 10000');
    const answers = await Promise.all(Array.from({ length: 10 }, () => send({ path })));
    expect(answers.every((status) => status === 200)).toBe(true);
  }
  reader.close();
});

/** A connection that is written to in parts. */
function rawLate(head: string, path?: string) {
  const socket = path === undefined ? connect(lab.port, '127.0.0.1') : connect(path);
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.write(head);
  return {
    received: () => received,
    answer: new Promise<string>((resolve) => socket.on('close', () => resolve(received))),
    finish: (rest: string) => socket.write(rest),
    hang: () => socket.pause(),
    close: () => socket.destroy(),
  };
}
