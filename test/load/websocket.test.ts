import type { Server } from 'node:http';
import { expect, test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Load, type LoadOptions, startLoad } from '../../load/load.ts';
import { freePort, listenHttp, listenTcp, type Running, until } from './running.ts';

const NO_REQUESTS = { busy: 0, idle: 0, fresh: 0, slow: 0, upload: 0, stream: 0 };

function hold(to: { readonly url: string }, change: Partial<LoadOptions> = {}): Load {
  return startLoad({ url: to.url, mix: NO_REQUESTS, websockets: 1, ...change });
}

/** A server whose WebSockets do what the test says, the first of them only. */
function listenWebSocket(onFirst: (socket: WebSocket) => void): Promise<Running> {
  let first = true;
  return listenHttp(
    (_request, response) => response.writeHead(404).end(),
    (server: Server) => {
      const sockets = new WebSocketServer({ server });
      sockets.on('headers', (headers) => headers.push('x-release: r1'));
      sockets.on('connection', (socket) => {
        if (first) onFirst(socket);
        first = false;
      });
    },
  );
}

function number(socket: WebSocket, ...numbers: number[]): void {
  for (const n of numbers) socket.send(JSON.stringify({ n }));
}

test('a message that is missing is a gap', async () => {
  await using server = await listenWebSocket((socket) => number(socket, 1, 2, 4, 5));
  await using load = hold(server);
  await until(async () => load.snapshot().websocketsOpen === 1, 'the WebSocket is open');
  await until(() => messagesOf(load) === 4, 'four messages');
  const { websockets } = await load.stop();
  expect(websockets).toMatchObject({ opened: 1, held: 1, messages: 4, gaps: 1, cutEarly: 0 });
  expect(websockets.firstGaps).toMatchObject([{ expected: 3, got: 4, release: 'r1' }]);
});

test('a message that comes twice is a gap, an echo is none', async () => {
  await using server = await listenWebSocket((socket) => {
    number(socket, 1);
    socket.send(JSON.stringify({ echo: 'hello' }));
    number(socket, 2, 2);
  });
  await using load = hold(server);
  await until(() => messagesOf(load) === 3, 'three numbered messages');
  const { websockets } = await load.stop();
  expect(websockets).toMatchObject({ gaps: 1, firstGaps: [{ expected: 3, got: 2 }] });
});

test('a close that nobody announced is cut early, and the WebSocket is opened again', async () => {
  await using server = await listenWebSocket((socket) => socket.close(1001, 'server stops'));
  await using load = hold(server);
  await until(() => load.websocketCloses.length === 1, 'the close');
  await until(() => load.snapshot().websocketsOpen === 1, 'it is open again');
  const report = await load.stop();
  expect(report.websockets).toMatchObject({ opened: 2, held: 1, cutEarly: 1, closedByDrain: 0 });
  expect(report.websockets.cuts).toMatchObject([
    { code: 1001, reason: 'server stops', release: 'r1', byClient: false },
  ]);
  expect(report).toMatchObject({ requests: 2, lost: 0 });
});

test('a connection that is cut without a word closes with 1006', async () => {
  await using server = await listenWebSocket((socket) => socket.terminate());
  await using load = hold(server);
  await until(() => load.websocketCloses.length === 1, 'the close');
  const { websockets } = await load.stop();
  expect(websockets).toMatchObject({ cutEarly: 1, cuts: [{ code: 1006 }] });
});

test('a close that the caller expects is closed by drain, even when it is known only later', async () => {
  await using server = await listenWebSocket((socket) => socket.close(1001));
  let drainFrom = Number.POSITIVE_INFINITY;
  const closedByDrain: LoadOptions['closedByDrain'] = (close) => close.closedAt >= drainFrom;
  await using load = hold(server, { closedByDrain });
  await until(() => load.websocketCloses.length === 1, 'the close');
  expect(load.snapshot().websocketsCutEarly).toBe(1);
  drainFrom = load.websocketCloses[0]?.closedAt ?? 0;
  const { websockets } = await load.stop();
  expect(websockets).toMatchObject({ closedByDrain: 1, cutEarly: 0, cuts: [] });
});

test('closes by the client itself count as nothing', async () => {
  await using server = await listenWebSocket(() => {});
  await using load = hold(server, { websockets: 5 });
  await until(() => load.snapshot().websocketsOpen === 5, 'all are open');
  const { websockets } = await load.stop();
  expect(websockets).toMatchObject({ opened: 5, held: 5, cutEarly: 0, closedByDrain: 0 });
});

test('a silent WebSocket shows how long it was silent', async () => {
  await using server = await listenWebSocket((socket) => number(socket, 1));
  await using load = hold(server);
  await until(() => messagesOf(load) === 1, 'one message');
  const from = performance.now();
  await until(() => performance.now() - from > 150, 'some silence');
  const { websockets } = await load.stop();
  expect(websockets.longestSilenceMs).toBeGreaterThanOrEqual(150);
});

test('a handshake that is refused, reset, or answered by a proxy is a lost request', async () => {
  await using refusing = hold({ url: `http://127.0.0.1:${await freePort()}` });
  await until(() => refusing.snapshot().lost > 0, 'a refused handshake');
  expect((await refusing.stop()).losses[0]).toMatchObject({
    kind: 'websocket',
    outcome: 'refused',
  });

  await using resetting = await listenTcp((socket) => socket.once('data', () => socket.destroy()));
  await using reset = hold(resetting);
  await until(() => reset.snapshot().lost > 0, 'a reset handshake');
  expect((await reset.stop()).losses[0]).toMatchObject({ kind: 'websocket', outcome: 'reset' });

  await using proxy = await listenHttp((_request, response) => response.writeHead(503).end());
  await using proxied = hold(proxy);
  await until(() => proxied.snapshot().lost > 0, 'a handshake answered by a proxy');
  expect((await proxied.stop()).losses[0]).toMatchObject({
    kind: 'websocket',
    outcome: 'proxy503',
  });
});

test('a handshake that nobody answers is a timeout, also when the load stops', async () => {
  await using server = await listenTcp(() => {});
  await using hasty = hold(server, { deadlineMs: 50 });
  await until(() => hasty.snapshot().lost > 0, 'a timed out handshake');
  expect((await hasty.stop()).losses[0]).toMatchObject({ outcome: 'timeout' });

  const connected = Promise.withResolvers<void>();
  await using patient = await listenTcp(() => connected.resolve());
  await using stopped = hold(patient);
  await connected.promise;
  expect(await stopped.stop(50)).toMatchObject({ requests: 1, lostByReason: { timeout: 1 } });
});

test('a handshake under way when the load stops may still succeed', async () => {
  const asked = Promise.withResolvers<() => void>();
  await using server = await listenHttp(
    (_request, response) => response.writeHead(404).end(),
    (http) => {
      const sockets = new WebSocketServer({ noServer: true });
      sockets.on('headers', (headers) => headers.push('x-release: r1'));
      http.on('upgrade', (request, socket, head) => {
        asked.resolve(() => sockets.handleUpgrade(request, socket, head, () => {}));
      });
    },
  );
  await using load = hold(server);
  const finish = await asked.promise;
  const stopped = load.stop();
  finish();
  expect(await stopped).toMatchObject({
    requests: 1,
    lost: 0,
    websockets: { opened: 1, cutEarly: 0 },
  });
});

test('every WebSocket that a server drops is counted', async () => {
  const sockets: WebSocket[] = [];
  await using server = await listenHttp(
    (_request, response) => response.writeHead(404).end(),
    (http) => {
      const accepted = new WebSocketServer({ server: http });
      accepted.on('headers', (headers) => headers.push('x-release: r1'));
      accepted.on('connection', (socket) => sockets.push(socket));
    },
  );
  await using load = hold(server, { websockets: 10 });
  await until(() => load.snapshot().websocketsOpen === 10, 'all are open');
  for (const socket of sockets.slice(0, 10)) socket.terminate();
  await until(() => load.websocketCloses.length === 10, 'all closes');
  expect((await load.stop()).websockets).toMatchObject({ cutEarly: 10, closedByDrain: 0 });
});

function messagesOf(load: Load): number {
  return load.snapshot().websocketMessages;
}
