import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket, createServer as tcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { layOutRelease, type ShopBehaviour } from '../../examples/build-release.ts';

/** What a test started; `dispose` ends it. */
export interface Running extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/** A real HTTP server on a free port of this machine. */
export async function listenHttp(
  onRequest: RequestListener,
  prepare: (server: Server) => void = () => {},
): Promise<Running> {
  const server = createServer(onRequest);
  prepare(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return running(server);
}

/** A real TCP server, to answer in ways in which no HTTP server does. */
export async function listenTcp(onConnection: (socket: Socket) => void): Promise<Running> {
  const sockets = new Set<Socket>();
  const server = tcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return running(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

/** A port of this machine on which nobody listens. */
export async function freePort(): Promise<number> {
  await using server = await listenTcp(() => {});
  return server.port;
}

export interface RunningShop extends Running {
  readonly process: ChildProcess;
  /** Ends with the exit code. */
  readonly exited: Promise<number | null>;
}

/** The example app as a real process on a free port. */
export async function runShop(
  behaviour: ShopBehaviour,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningShop> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-test-shop-'));
  await layOutRelease(folder, { behaviour });
  const port = await freePort();
  const child = spawn(process.execPath, ['server.js'], {
    cwd: folder,
    env: { ...process.env, PORT: String(port), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit').then(() => child.exitCode);
  await until(() => accepts(port), 'the shop listens');
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    process: child,
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Waits until `condition` holds. @throws Error after 10 s. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited 10 s in vain: ${what}`);
    await wait(10);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const accepted = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'close').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return accepted;
}

function running(server: Server | ReturnType<typeof tcpServer>, end?: () => void): Running {
  const { port } = addressOf(server);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      end?.();
      if ('closeAllConnections' in server) server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function addressOf(server: Pick<Server, 'address'>): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address;
}
