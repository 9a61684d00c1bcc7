import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServerConnections } from '../../agent/haproxy/proxy.ts';
import { appOf, type Lab, openLab, shop, soon, until } from './harness.ts';
import { rawGet } from './raw.ts';
import { openTunnel } from './websocket.ts';

let lab: Lab;
const opened: { destroy(): void }[] = [];

beforeEach(async () => {
  lab = await openLab();
  await lab.proxy.open(soon());
  const app = await lab.app('r1', ({ url = '' }, response) => {
    const type = { '/sse': 'text/event-stream; charset=utf-8', '/grpc': 'application/grpc+proto' };
    const found = Object.entries(type).find(([path]) => path === url);
    if (found !== undefined) response.setHeader('content-type', found[1]);
    // All but the slow one have begun their answers, and none ever ends it.
    if (url !== '/slow') response.write('begun\n');
  });
  app.server.on('connect', (_, socket) => {
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
  });
  await lab.proxy.apply(shop(lab.server('r1', 100)), soon());
});

afterEach(async () => {
  for (const one of opened.splice(0)) one.destroy();
  await lab.close();
});

async function counts(): Promise<Pick<ServerConnections, 'requests' | 'streams' | 'websockets'>> {
  const [found] = await lab.proxy.connections('shop', ['r1'], soon());
  if (found === undefined) throw new Error('no answer');
  const { requests, streams, websockets } = found;
  return { requests, streams, websockets };
}

/** Sends a request that nobody will end. */
function begin(text: string): Socket {
  const socket = connect(lab.port, '127.0.0.1', () => socket.write(text));
  socket.on('error', () => undefined);
  socket.resume();
  opened.push(socket);
  return socket;
}

async function become(wanted: Awaited<ReturnType<typeof counts>>): Promise<void> {
  await until(JSON.stringify(wanted), async () => {
    return JSON.stringify(await counts()) === JSON.stringify(wanted);
  });
}

describe('what HAProxy can tell apart', () => {
  it('answers that are open by nature, by their content type', async () => {
    begin('GET /sse HTTP/1.1\r\nHost: shop\r\n\r\n');
    begin('POST /grpc HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n');
    await become({ requests: 0, streams: 2, websockets: 0 });
  });

  it('requests that are only long: a slow answer, a download, an upload', async () => {
    begin('GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n');
    begin('GET /download HTTP/1.1\r\nHost: shop\r\n\r\n');
    begin('GET /download HTTP/1.0\r\nHost: shop\r\n\r\n');
    begin('POST /slow HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\nabc');
    await become({ requests: 4, streams: 0, websockets: 0 });
  });

  it('tunnels: WebSocket and CONNECT', async () => {
    opened.push((await openTunnel(lab.port)).socket);
    begin('CONNECT shop:80 HTTP/1.1\r\nHost: shop:80\r\n\r\n');
    await become({ requests: 0, streams: 0, websockets: 2 });
  });

  it('the same over HTTP/2, where one client connection carries them all', async () => {
    const client = connectHttp2(`http://127.0.0.1:${lab.port}`);
    client.on('error', () => undefined);
    opened.push(client);
    const ask = (headers: IncomingHttpHeaders): void => {
      const stream = client.request(headers, { endStream: headers[':protocol'] === undefined });
      stream.on('error', () => undefined);
      stream.resume();
    };
    await new Promise((resolve) => client.once('remoteSettings', resolve));
    ask({ ':path': '/sse' });
    ask({ ':path': '/download' });
    ask({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/ws',
      ':authority': 'shop',
      'sec-websocket-version': '13',
    });
    await become({ requests: 1, streams: 1, websockets: 1 });
    // An HTTP/2 client that is more than a tunnel, and one client for three streams.
    await lab.proxy.apply(
      { apps: [...shop(lab.server('r1', 100)).apps, appOf('other', ['other.test'], [])] },
      soon(),
    );
    await become({ requests: 1, streams: 1, websockets: 1 });
  });

  it('closes one stream of an HTTP/2 connection and leaves its neighbours', async () => {
    const client = connectHttp2(`http://127.0.0.1:${lab.port}`);
    client.on('error', () => undefined);
    opened.push(client);
    const [sse, download] = ['/sse', '/download'].map((path) => client.request({ ':path': path }));
    if (sse === undefined || download === undefined) throw new Error('no streams');
    let isClosed = false;
    sse
      .on('error', () => undefined)
      .on('close', () => {
        isClosed = true;
      });
    sse.resume();
    download.on('error', () => undefined).resume();
    await become({ requests: 1, streams: 1, websockets: 0 });
    const open = await lab.proxy.openConnections('shop', ['r1'], soon());
    const streams = open.filter(({ kind }) => kind === 'stream');
    expect(await lab.proxy.closeConnections(streams, soon())).toBe(1);
    await until('the stream is closed', () => isClosed);
    await become({ requests: 1, streams: 0, websockets: 0 });
  });
});

it('keeps a path for the agent alone, however it is spelled', async () => {
  const [app] = shop(lab.server('r1', 100)).apps;
  if (app === undefined) throw new Error('no app');
  await lab.proxy.apply({ apps: [{ ...app, refused: ['/_drain'] }] }, soon());
  expect(await rawGet(lab.port, 'shop', '/_drain')).toMatch(/^HTTP\/1\.1 404 /);
  expect(await rawGet(lab.port, 'shop', '/%5fdrain?x')).toMatch(/^HTTP\/1\.1 404 /);
});

it('keeps it also from who asks by a route that takes something off the path', async () => {
  const api = appOf('shop', [{ route: '*/api', strip: true }], [lab.server('r1', 100)]);
  await lab.proxy.apply({ apps: [{ ...api, refused: ['/_drain'] }] }, soon());
  expect(await rawGet(lab.port, 'shop', '/api/_drain')).toMatch(/^HTTP\/1\.1 404 /);
  expect(await rawGet(lab.port, 'shop', '/api/%5fdrain')).toMatch(/^HTTP\/1\.1 404 /);
});
