import { WebSocketServer } from 'ws';
import { instance, release } from './settings.js';

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
sockets.on('headers', (headers) => {
  headers.push(`x-release: ${release}`, `x-instance: ${instance}`);
});

/** Takes a WebSocket at /ws: pushes a numbered message every `interval` ms, echoes what comes. */
export function upgrade(request, socket, head) {
  const url = new URL(request.url, 'http://shop');
  if (url.pathname !== '/ws') {
    socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    return;
  }
  const asked = Number(url.searchParams.get('interval') ?? 1_000);
  const interval = asked >= 10 ? asked : 1_000;
  sockets.handleUpgrade(request, socket, head, (client) => {
    let n = 0;
    const push = () => client.send(JSON.stringify({ n: ++n, release }));
    push();
    const timer = setInterval(push, interval);
    client.on('message', (data) => client.send(JSON.stringify({ echo: String(data) })));
    client.on('error', () => client.terminate());
    client.on('close', () => clearInterval(timer));
  });
}

/** Tells every client that this server goes away; those that do not answer are cut after `ms`. */
export function sayGoodbye(ms) {
  for (const client of sockets.clients) client.close(1001, 'server stops');
  setTimeout(() => {
    for (const client of sockets.clients) client.terminate();
  }, ms).unref();
}
