import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Answers an upgrade as RFC 6455 section 4.2.2 wants it, then echoes bytes. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex): void {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('data', (chunk) => socket.write(chunk));
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
}

/** A tunnel through HAProxy whose every byte comes back. */
export interface Tunnel {
  readonly socket: Socket;
  readonly closed: boolean;
  /** Resolves when the app has sent it back. */
  echo(text: string): Promise<void>;
  end(): void;
}

/** Opens a WebSocket, raw: only that it is open and echoes matters here. */
export async function openTunnel(port: number): Promise<Tunnel> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  let closed = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const check of waiting) check();
  };
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    wake();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
    wake();
  });
  const receive = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const at = received.indexOf(text);
        if (at >= 0) {
          received = received.slice(at + text.length);
          waiting.delete(check);
          resolve();
        } else if (closed) reject(new Error(`closed after ${received}`));
      };
      waiting.add(check);
      check();
    });
  socket.write(
    'GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await receive('\r\n\r\n');
  return {
    socket,
    get closed() {
      return closed;
    },
    echo(text) {
      socket.write(text);
      return receive(text);
    },
    end() {
      socket.destroy();
    },
  };
}
