import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DesiredApp, DesiredProxy, DesiredServer } from '../../agent/haproxy/desired.ts';
import { createProxy, type ProxyOptions, stopEmbedded } from '../../agent/haproxy/haproxy.ts';
import { showProcesses } from '../../agent/haproxy/master.ts';
import type { Haproxy } from '../../agent/haproxy/proxy.ts';
import { converse, type Endpoint } from '../../agent/haproxy/runtime.ts';
import { readRoute } from '../../agent/protocol/routes.ts';
import { acceptWebSocket } from './websocket.ts';

/** A deadline for one thing of a test; generous, because the machine is shared. */
export const soon = (): AbortSignal => AbortSignal.timeout(30_000);

/** Waits for a condition; a test never sleeps and hopes. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await sleep(10);
  }
}

/** An app on a unix socket in this process. It answers with its name. */
export interface App {
  readonly name: string;
  readonly path: string;
  readonly server: Server;
  /** Requests it has seen, oldest first: `POST /x 17`. */
  readonly seen: string[];
  stop(): Promise<void>;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Everything a test starts; `close` ends all of it. */
export interface Lab {
  readonly folder: string;
  readonly port: number;
  readonly options: ProxyOptions;
  readonly admin: Endpoint;
  readonly master: Endpoint;
  readonly proxy: Haproxy;
  readonly log: string[];
  app(name: string, answer?: Answer): Promise<App>;
  /** A server of the app `shop` that points to an app of this lab. */
  server(name: string, weight: number, state?: DesiredServer['state']): DesiredServer;
  config(): Promise<string>;
  ask(command: string): Promise<string>;
  /** Another room for the same HAProxy, as a restarted daemon would have it. */
  again(changes?: Partial<ProxyOptions>): Haproxy;
  close(): Promise<void>;
}

/** A temporary folder with nothing started yet but for `proxy.open`. */
export async function openLab(changes: Partial<ProxyOptions> = {}): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-haproxy-'));
  const port = await freePort();
  const log: string[] = [];
  const options: ProxyOptions = {
    mode: 'embedded',
    binary: 'haproxy',
    configPath: join(folder, 'haproxy.cfg'),
    adminSocket: join(folder, 'admin.sock'),
    masterSocket: join(folder, 'master.sock'),
    bind: () => [`127.0.0.1:${port}`],
    workDir: join(folder, 'work'),
    log: (level, message, fields) => log.push(`${level} ${message} ${JSON.stringify(fields)}`),
    ...changes,
  };
  const admin = { kind: 'admin', path: options.adminSocket, commandMs: 5_000 } as const;
  const master = { kind: 'master', path: options.masterSocket, commandMs: 5_000 } as const;
  const rooms = [createProxy(options)];
  const apps: App[] = [];
  const socketOf = (name: string): string => join(folder, `${name}.sock`);
  const [proxy] = rooms;
  if (proxy === undefined) throw new Error('no room');
  return {
    folder,
    port,
    options,
    admin,
    master,
    proxy,
    log,
    async app(name, answer) {
      const app = await startApp(name, socketOf(name), answer);
      apps.push(app);
      return app;
    },
    server: (name, weight, state = 'ready') => ({
      name,
      address: { kind: 'unix', path: socketOf(name) },
      weight,
      state,
    }),
    config: () => readFile(options.configPath, 'utf8'),
    ask: (command) => converse(admin, soon(), ({ ask }) => ask(command)),
    again(more = {}) {
      const room = createProxy({ ...options, ...more });
      rooms.push(room);
      return room;
    },
    async close() {
      for (const room of rooms) await room.close();
      await stopEmbedded(options.workDir);
      for (const app of apps) await app.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The app `shop`, for every host, with these servers. */
export function shop(...servers: readonly DesiredServer[]): DesiredProxy {
  return { apps: [appOf('shop', ['*'], servers)] };
}

export function appOf(
  app: string,
  routes: ReadonlyArray<Parameters<typeof readRoute>[0]>,
  servers: readonly DesiredServer[],
): DesiredApp {
  return { app, routes: routes.map(readRoute), check: { path: '/health', status: 200 }, servers };
}

async function startApp(name: string, path: string, answer?: Answer): Promise<App> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/health') {
      response.end('ok');
      return;
    }
    seen.push(`${request.method} ${request.url}`);
    response.setHeader('x-release', name);
    if (answer !== undefined) answer(request, response);
    else request.resume().on('end', () => response.end(name));
  });
  server.keepAliveTimeout = 60_000;
  server.on('upgrade', (request, socket) => acceptWebSocket(request, socket));
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    name,
    path,
    server,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** A HAProxy that the test runs itself, as systemd would: for `mode: 'system'`. */
export async function startSystemHaproxy(
  lab: Lab,
  config: string,
): Promise<{ process: ChildProcess; stop(): Promise<void> }> {
  await writeFile(lab.options.configPath, config);
  const child = spawn(
    'haproxy',
    ['-W', '-S', lab.options.masterSocket, '-f', lab.options.configPath],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // From 3.1 on the master answers before its worker does.
  await until('the system HAProxy answers', async () =>
    showProcesses(lab.master, soon(), 0)
      .then(() => lab.ask('show info'))
      .then(
        () => true,
        () => false,
      ),
  );
  return {
    process: child,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
