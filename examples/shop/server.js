import { unlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { sayGoodbye, upgrade } from './live-updates.js';
import { answer } from './pages.js';
import { behaviour, instance, release, whereToListen } from './settings.js';

let stopping = false;
/** Connections that have sent nothing yet: some proxies open them in advance. */
const unused = new Set();

const server = createServer((request, response) => {
  unused.delete(request.socket);
  if (stopping) response.setHeader('connection', 'close');
  answer(request, response).catch(() => response.destroy());
});
// Longer than any proxy keeps an idle connection, so that the proxy is the one who closes it.
server.keepAliveTimeout = 130_000;
server.on('connection', (socket) => {
  unused.add(socket);
  socket.on('close', () => unused.delete(socket));
});
server.on('upgrade', (request, socket, head) => {
  unused.delete(socket);
  socket.on('error', () => socket.destroy());
  if (stopping) socket.destroy();
  else upgrade(request, socket, head);
});

const place = whereToListen();
server.on('error', (error) => {
  if (error.code !== 'EADDRINUSE' || place.path === undefined) throw error;
  // A socket file that nobody answers on is what a crashed instance left behind.
  connect(place.path)
    .on('connect', () => {
      throw error;
    })
    .on('error', () => {
      unlinkSync(place.path);
      server.listen(place);
    });
});

if (behaviour.slowStartMs !== undefined) await wait(behaviour.slowStartMs);
server.listen(place, () => {
  console.log(`shop ${behaviour.version} listens, release ${release}, instance ${instance}`);
  // pm2 with `wait_ready` waits for this word.
  process.send?.('ready');
});

if (behaviour.crashAfterMs !== undefined) {
  setTimeout(() => {
    throw new Error('the shop has burnt down');
  }, behaviour.crashAfterMs);
}

/** Takes nothing new, finishes what is in flight, leaves. */
function stop() {
  if (stopping) return;
  stopping = true;
  server.close(() => {
    console.log(`shop ${behaviour.version} has stopped`);
    process.exit(0);
  });
  sayGoodbye(2_000);
  // A connection that is busy now turns idle later and would then live for keepAliveTimeout; one
  // that has sent nothing yet is not idle to Node and would live for headersTimeout.
  setInterval(() => {
    server.closeIdleConnections();
    for (const socket of unused) socket.destroy();
  }, 50);
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// pm2 with `shutdown_with_message` sends this instead of a signal.
process.on('message', (message) => {
  if (message === 'shutdown') stop();
});
