import { connect, type Socket } from 'node:net';

/** What a load has done. */
export interface Sent {
  readonly requests: number;
  /** Not answered with 200, or not at all. */
  readonly failed: number;
  readonly seconds: number;
  readonly p99Ms: number;
  /** How long each answer took, ms, ascending. */
  readonly waits: readonly number[];
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n';
const CLIENTS = 64;
const PACE_MS = 5;

/**
 * Sends requests over 64 connections, one at a time on each.
 * @param perSecond about so many; null: as many as are answered
 */
export async function sendFor(
  port: number,
  seconds: number,
  perSecond: number | null,
  signal: AbortSignal,
): Promise<Sent> {
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => open(port)));
  const idle: Client[] = sockets.map((socket) => ({ socket, sentAt: 0 }));
  const clients = [...idle];
  const waits: number[] = [];
  let requests = 0;
  let failed = 0;
  let ending = false;
  const send = (client: Client): void => {
    client.sentAt = performance.now();
    requests += 1;
    client.socket.write(REQUEST);
  };
  for (const client of clients) {
    client.socket.on('data', (chunk) => {
      if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) failed += 1;
      waits.push(performance.now() - client.sentAt);
      client.sentAt = 0;
      if (perSecond === null && !ending) send(client);
      else idle.push(client);
    });
    client.socket.on('error', () => undefined);
  }
  const began = performance.now();
  let due = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const passed = performance.now() - began;
      if (passed >= seconds * 1_000 || signal.aborted) {
        clearInterval(timer);
        resolve();
        return;
      }
      due = perSecond === null ? requests + idle.length : (perSecond * passed) / 1_000;
      while (requests < due) {
        const client = idle.shift();
        if (client === undefined) break;
        send(client);
      }
    }, PACE_MS);
  });
  const lasted = (performance.now() - began) / 1_000;
  ending = true;
  for (let tries = 0; idle.length < CLIENTS && tries < 200; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
  for (const client of clients) client.socket.destroy();
  signal.throwIfAborted();
  waits.sort((a, b) => a - b);
  return {
    requests,
    failed: failed + (requests - waits.length),
    seconds: lasted,
    p99Ms: waits[Math.floor(waits.length * 0.99)] ?? 0,
    waits,
  };
}

interface Client {
  readonly socket: Socket;
  sentAt: number;
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}
