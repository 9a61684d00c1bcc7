import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { CLI_HEADER } from '../../protocol/contact.ts';
import { ZddError } from '../../protocol/errors.ts';
import { EXEC_PROTOCOL } from '../../protocol/exec.ts';
import { verifyPeer } from '../audit-hook.ts';
import type { Daemon } from '../daemon.ts';
import { ExecClient } from './client.ts';
import { ExecSessions } from './sessions.ts';

const PATH = /^\/v1\/apps\/([^/?]+)\/exec$/;

/** Takes the requests that leave HTTP behind: commands in a release. */
export function serveExec(server: Server, daemon: Daemon): void {
  const sessions = new ExecSessions(daemon);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => {});
    const app = appOf(request);
    if (app === null) return refuse(request, socket);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${EXEC_PROTOCOL}\r\n\r\n`,
    );
    const cli = request.headers[CLI_HEADER];
    const who = {
      cli: typeof cli === 'string' ? cli : null,
      verified: verifyPeer(request.socket, Date.now()),
    };
    void sessions.serve(app, new ExecClient(socket, head), who);
  });
}

function appOf({ method, url = '', headers }: IncomingMessage): string | null {
  const [, name] = PATH.exec(url) ?? [];
  if (method !== 'GET' || headers.upgrade !== EXEC_PROTOCOL || name === undefined) return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}

function refuse({ method, url }: IncomingMessage, socket: Duplex): void {
  const error = new ZddError('ZDD_USAGE', `there is no ${method} ${url} to upgrade to`);
  const body = JSON.stringify({ error: error.toBody() });
  socket.end(
    `HTTP/1.1 404 ${STATUS_CODES[404]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
