import { connect } from 'node:net';

/** Sends bytes and returns everything until the other side closes. */
export function rawExchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.setTimeout(15_000, () => socket.destroy(new Error(`no end after: ${received}`)));
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
  });
}

/** A GET for a host. `fetch` would not let us name it. */
export function rawGet(port: number, host: string, path = '/'): Promise<string> {
  return rawExchange(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}
