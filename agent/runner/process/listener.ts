import { chmodSync, renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { ZddError } from '../../protocol/errors.ts';
import type { Listen } from '../runner.ts';

/** What the kernel keeps of connections that nobody has accepted yet (it may cap this). */
const BACKLOG = 4_096;

/** A place to listen that the instance inherits. */
export type Activation = Extract<Listen, { activation: boolean }>;

/**
 * Opens the listener and hands its descriptor to `use`, which must pass it on before it returns:
 * after that the daemon's copy is closed. The daemon never accepts a connection on it, because
 * between listening and closing the event loop never gets to poll.
 * @throws ZDD_PORT_IN_USE, ZDD_START_FAILED
 */
export async function withListener<T>(
  place: Activation,
  use: (fd: number) => Promise<T>,
): Promise<T> {
  // Closing a server unlinks the path it was bound to, so it is bound to another and renamed.
  const boundPath = place.kind === 'unix' ? `${place.path}.new` : undefined;
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  server.once('error', (error) => reject(listenError(place, error)));
  server.once('listening', () => {
    try {
      if (place.kind === 'unix' && boundPath !== undefined) {
        chmodSync(boundPath, 0o660);
        renameSync(boundPath, place.path);
      }
      resolve(use(descriptorOf(server)));
    } catch (error) {
      reject(error);
    } finally {
      server.close();
    }
  });
  server.listen(
    place.kind === 'unix'
      ? { path: boundPath, backlog: BACKLOG }
      : { host: '127.0.0.1', port: place.port, backlog: BACKLOG },
  );
  return await promise;
}

/** Whether nobody listens on this port of 127.0.0.1. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once('error', () => resolve(false));
  server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  return await promise;
}

/** The error for a port that somebody else listens on. */
export function portInUse(port: number, cause?: unknown): ZddError {
  return new ZddError('ZDD_PORT_IN_USE', `port ${port} is taken by another process`, {
    tries: [`ss -ltnp 'sport = :${port}'`],
    cause,
  });
}

function listenError(place: Activation, error: Error): ZddError {
  if (place.kind === 'tcp' && 'code' in error && error.code === 'EADDRINUSE') {
    return portInUse(place.port, error);
  }
  const where = place.kind === 'unix' ? place.path : `port ${place.port}`;
  return new ZddError('ZDD_START_FAILED', `cannot listen on ${where}: ${error.message}`, {
    cause: error,
  });
}

/** Node has no public way to the descriptor of a server; this one is as old as Node. */
function descriptorOf(server: object): number {
  const handle: unknown = Reflect.get(server, '_handle');
  const fd: unknown = typeof handle === 'object' && handle ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0)
    throw new Error('this Node.js hides descriptors of servers');
  return fd;
}
