import { Agent } from 'node:http';
import { expect, test } from 'vitest';
import type { RequestRecord } from '../../load/outcome.ts';
import { type RequestPlan, sendRequest } from '../../load/request.ts';
import { freePort, listenHttp, listenTcp, type Running } from './running.ts';

const APP = { 'x-release': 'r1' };

function plan(change: Partial<RequestPlan> = {}): RequestPlan {
  return {
    kind: 'fresh',
    method: 'GET',
    path: '/',
    agent: false,
    deadlineMs: 5_000,
    check: (body) => (body === 'hello' ? 'ok' : 'wrong'),
    ...change,
  };
}

function ask(to: Running, change: Partial<RequestPlan> = {}): Promise<RequestRecord> {
  return sendRequest({ url: new URL(to.url) }, plan(change)).done;
}

test('a whole and right answer of the app is ok', async () => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, APP).end('hello');
  });
  const record = await ask(server);
  expect(record).toMatchObject({ outcome: 'ok', status: 200, release: 'r1', reused: false });
  expect(record.firstByte).toBeGreaterThanOrEqual(record.start);
  expect(record.end).toBeGreaterThanOrEqual(record.firstByte);
});

test('a connection that nobody takes is refused', async () => {
  const url = new URL(`http://127.0.0.1:${await freePort()}`);
  const record = await sendRequest({ url }, plan()).done;
  expect(record).toMatchObject({ outcome: 'refused', status: 0 });
});

test('a connection that is reset before an answer is lost', async () => {
  await using server = await listenTcp((socket) =>
    socket.once('data', () => socket.resetAndDestroy()),
  );
  expect(await ask(server)).toMatchObject({ outcome: 'reset', status: 0 });
});

test('a connection that is closed politely before an answer is lost', async () => {
  await using server = await listenTcp((socket) => socket.once('data', () => socket.end()));
  expect(await ask(server)).toMatchObject({ outcome: 'reset', status: 0 });
});

test.each(['GET', 'POST'] as const)(
  'a %s on a reused connection that is reset is lost and never sent again',
  async (method) => {
    let seen = 0;
    await using server = await listenTcp((socket) => {
      socket.on('data', () => {
        seen += 1;
        if (seen > 1) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\nx-release: r1\r\ncontent-length: 5\r\n\r\nhello');
      });
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await ask(server, { agent })).toMatchObject({ outcome: 'ok', reused: false });
    expect(await ask(server, { agent, method })).toMatchObject({ outcome: 'reset', reused: true });
    // Whatever would send it again does so at once: the next request shows that nothing came between.
    await ask(server, { agent });
    expect(seen).toBe(3);
    agent.destroy();
  },
);

test.each([
  ['a chunked body', 'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['a body of known length', 'content-length: 10\r\n\r\nhello'],
])('%s that stops in its middle is cut', async (_name, answer) => {
  await using server = await listenTcp((socket) =>
    socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nx-release: r1\r\n${answer}`)),
  );
  expect(await ask(server)).toMatchObject({ outcome: 'cut', status: 200, release: 'r1' });
});

test('a body that is reset in its middle is cut', async () => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, APP).write('hel', () => response.socket?.resetAndDestroy());
  });
  expect(await ask(server)).toMatchObject({ outcome: 'cut', status: 200 });
});

test('a body without its end marker is cut, even when the connection ends politely', async () => {
  await using server = await listenTcp((socket) =>
    socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nx-release: r1\r\nconnection: close\r\n\r\nchunk 1 of 2\n'),
    ),
  );
  const check = (body: string) => (body.endsWith('END 2\n') ? 'ok' : 'cut');
  expect(await ask(server, { check })).toMatchObject({ outcome: 'cut', status: 200 });
});

test('no answer before the deadline is a timeout', async () => {
  await using server = await listenTcp(() => {});
  expect(await ask(server, { deadlineMs: 50 })).toMatchObject({ outcome: 'timeout', status: 0 });
});

test('an answer that does not end before the deadline is a timeout', async () => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, APP).write('hel');
  });
  expect(await ask(server, { deadlineMs: 200 })).toMatchObject({ outcome: 'timeout', status: 200 });
});

test.each([
  [502, 'proxy502'],
  [503, 'proxy503'],
  [504, 'proxy504'],
  [500, 'proxyOther'],
  [200, 'proxyOther'],
])('an answer %i that does not come from the app is %s', async (status, outcome) => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(status).end('hello');
  });
  expect(await ask(server)).toMatchObject({ outcome, status, release: '' });
});

test.each([500, 503, 404])('an answer %i of the app is its own error, not lost', async (status) => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(status, APP).end('sorry');
  });
  const record = await ask(server);
  expect(record).toMatchObject({ outcome: 'appError', status, release: 'r1', detail: 'sorry' });
});

test('an answer to something else is wrong', async () => {
  await using server = await listenHttp((_request, response) => {
    response.writeHead(200, APP).end('another page');
  });
  expect(await ask(server)).toMatchObject({ outcome: 'wrong', detail: 'another page' });
});

test('a request that is given up is a timeout at once', async () => {
  await using server = await listenTcp(() => {});
  const sent = sendRequest({ url: new URL(server.url) }, plan());
  sent.giveUp();
  expect(await sent.done).toMatchObject({ outcome: 'timeout' });
});

test('the host header is the one asked for', async () => {
  const hosts: (string | undefined)[] = [];
  await using server = await listenHttp((request, response) => {
    hosts.push(request.headers.host);
    response.writeHead(200, APP).end('hello');
  });
  const target = { url: new URL(server.url), hostHeader: 'shop.example.com' };
  await sendRequest(target, plan()).done;
  expect(hosts).toEqual(['shop.example.com']);
});
