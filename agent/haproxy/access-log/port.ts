import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { LogPlace } from './format.ts';

/**
 * Where the reader may listen: below the ports that the kernel gives to outgoing connections, and
 * apart from those of instances. The one it has found stands in HAProxy's file, so it is kept.
 */
const FIRST = 18_400;
const LAST = 18_599;

/**
 * Listens on the loopback, on the remembered port if it is still free.
 * @returns undefined when no port of the range is
 */
export async function listenSomewhere(
  recordPath: string,
  take: (socket: Socket, place: LogPlace) => void,
): Promise<{ server: Server; place: LogPlace; remembered: boolean } | undefined> {
  const record = (await readFile(recordPath, 'utf8').catch(() => '')).trim().split(' ');
  const remembered = Number(record[0]);
  const known = /^zdd-[0-9a-f]{8}$/.test(record[1] ?? '') ? record[1] : undefined;
  const name = known ?? `zdd-${randomBytes(4).toString('hex')}`;
  const first = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
  const ports = Array.from(
    { length: LAST - FIRST + 1 },
    (_, index) => FIRST + ((first - FIRST + index) % (LAST - FIRST + 1)),
  );
  const inRange = remembered >= FIRST && remembered <= LAST;
  for (const port of inRange ? [remembered, ...ports] : ports) {
    const place = { port, name };
    const server = await listen(port, (socket) => take(socket, place));
    if (server === undefined) continue;
    return { server, place, remembered: port === remembered && known !== undefined };
  }
  return undefined;
}

function listen(port: number, take: (socket: Socket) => void): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer({ pauseOnConnect: true }, take);
    // One connection a worker; more than a few old ones at a time is somebody else.
    server.maxConnections = 64;
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server));
  });
}
