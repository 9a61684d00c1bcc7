import type { PrivateHost } from '../../demo/private-host.ts';
import type { ConfigOverrides, ShopRelease } from '../../examples/build-release.ts';
import { push, QUICK, settled } from './shop.ts';

/** An app with every kind of long answer; what it is told it appends to `$TOLD`. */
const APP = `
import { appendFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const told = (text) => appendFileSync(process.env.TOLD, text + '\\n');
if (process.env.CATCHES === 'yes') process.on('SIGUSR2', () => told(process.env.ZDD_SLOT + ' SIGUSR2'));

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://app');
  response.setHeader('x-zdd-release', process.env.ZDD_RELEASE);
  if (request.method === 'POST' && url.pathname === '/_drain') {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => { body += text; });
    request.on('end', () => { told(process.env.ZDD_SLOT + ' ' + body); response.end(); });
  } else if (url.pathname === '/sse') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\\n\\n');
  } else if (url.pathname === '/grpc') {
    response.writeHead(200, { 'content-type': 'application/grpc' });
    response.write('begun');
  } else if (url.pathname === '/slow') {
    setTimeout(() => response.end(process.env.ZDD_RELEASE), Number(url.searchParams.get('ms')));
  } else response.end(process.env.ZDD_RELEASE);
});
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(key).digest('base64');
  socket.on('error', () => undefined).on('end', () => socket.end());
  socket.resume();
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
});
server.on('connect', (request, socket) => {
  socket.on('error', () => undefined).on('end', () => socket.end());
  socket.resume();
  socket.write('HTTP/1.1 200 OK\\r\\n\\r\\nbegun');
});
server.listen(process.env.SOCKET);
process.on('SIGTERM', () => process.exit(0));
`;

/** A release of that app. */
export function longApp(
  host: PrivateHost,
  version: string,
  { drain, env = {} }: { drain: ConfigOverrides; env?: ConfigOverrides },
): ShopRelease {
  return {
    behaviour: { version },
    files: { 'long.js': APP },
    config: {
      ...QUICK,
      drain,
      smoke: [],
      processes: {
        worker: null,
        web: {
          run: 'node long.js',
          instances: 2,
          health: '/',
          env: { TOLD: toldIn(host), ...env },
        },
      },
    },
  };
}

export function toldIn(host: PrivateHost): string {
  return `${host.dir}/told`;
}

/** Pushes it and waits until it serves. @returns the events of that deployment and after */
export async function deploy(
  host: PrivateHost,
  version: string,
  options: Parameters<typeof longApp>[2],
): Promise<number> {
  const since = (await host.events()).at(-1)?.seq ?? 0;
  const { code, stderr } = await push(host, longApp(host, version, options));
  if (code !== 0) throw new Error(stderr);
  return since;
}

/** The same, and until nothing is left of the release before. */
export async function replace(
  host: PrivateHost,
  version: string,
  options: Parameters<typeof longApp>[2],
): Promise<Awaited<ReturnType<PrivateHost['events']>>> {
  const since = await deploy(host, version, options);
  await settled(host);
  return await host.events(since);
}
