import { mkdir, writeFile } from 'node:fs/promises';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { backendOf } from '../config/names.ts';
import type { ProxyOptions } from '../options.ts';
import type { AppCounters } from '../proxy.ts';
import { type AppSignals, ServerBook, type SignalTick } from './book.ts';
import type { LogLine, LogPlace } from './format.ts';
import { Keeper, readKept, textOf } from './keep.ts';
import { LossAccount } from './loss.ts';
import { haproxyUids, uidOfPeer } from './peer.ts';
import { listenSomewhere } from './port.ts';
import { type LineCount, LineReader, Sampling } from './reader.ts';
import { type ReleaseTotals, Totals } from './totals.ts';

/** A server without lines for this long is forgotten, ms. */
const FORGET_MS = 60 * 60_000;

/** HAProxy's access log, as far as the agent judges by it. Never in the way of a request. */
export interface AccessLog {
  /** Where HAProxy's ring connects to; undefined when there is no free port, or before `open`. */
  readonly place: () => LogPlace | undefined;
  /**
   * Begins to listen. What was known when the agent ended is known again; lines that HAProxy has
   * kept meanwhile come first.
   */
  open(): Promise<void>;
  /** Holds the lines that came against what HAProxy has counted. */
  account(app: string, counters: AppCounters): void;
  /** What these servers did, and which share of the app's lines since then is missing. */
  signals(app: string, servers: readonly string[], since: number): AppSignals;
  /** Writes what is known of all servers: the next agent begins with it. */
  keep(): Promise<void>;
  /** Lines about an app that came, of all workers. */
  lines(app: string): number;
  /** Requests of an app whose lines are known to be missing, as far as `account` was called. */
  lost(app: string): number;
  /** What a release did since the agent began. */
  totals(app: string, release: string): ReleaseTotals;
  close(): Promise<void>;
}

/** @param now the daemon's clock, ms */
export function createAccessLog(
  options: Pick<ProxyOptions, 'workDir' | 'configPath' | 'log'>,
  now: () => number,
): AccessLog {
  const recordPath = join(options.workDir, 'access-log-port');
  const booksPath = join(options.workDir, 'access-log-books.json');
  const books = new Map<string, ServerBook>();
  const totals = new Totals();
  const accounts = new Map<string, LossAccount>();
  /** `pid backend` -> lines that came. */
  const lines = new Map<string, LineCount>();
  const sampling = new Sampling();
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let place: LogPlace | undefined;
  let refused = false;
  let unkept = false;
  /** From HAProxy's clock, which is the host's, to the daemon's, which never jumps. */
  let offset = 0;

  const sink = {
    counter(worker: number, backend: string): LineCount {
      const key = `${worker} ${backend}`;
      const count = lines.get(key) ?? { lines: 0 };
      lines.set(key, count);
      return count;
    },
    line(line: LogLine, oneOf: number): void {
      const key = `${line.backend} ${line.server}`;
      let book = books.get(key);
      if (book === undefined) {
        forget();
        book = new ServerBook([], totals.ofServer(line.backend, line.server));
        books.set(key, book);
      }
      book.write(line, Math.min(line.at + offset, now()), oneOf);
    },
  };

  const keeper = new Keeper(
    booksPath,
    () => textOf(books, now()),
    (error) => {
      if (!unkept)
        options.log('warn', 'access log cannot be kept for a restart', { error: String(error) });
      unkept = true;
    },
  );

  function forget(): void {
    const until = now() - FORGET_MS;
    for (const [key, book] of books) if (book.last < until) books.delete(key);
    totals.forget(until);
  }

  async function take(socket: Socket, { name }: LogPlace): Promise<void> {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    const uid = await uidOfPeer(socket.remotePort ?? 0, socket.localPort ?? 0);
    const allowed = await haproxyUids(options);
    if (uid === null || !allowed.has(uid)) {
      if (!refused) options.log('warn', 'access log refused: its sender is not HAProxy', { uid });
      refused = true;
      socket.destroy();
      return;
    }
    const reader = new LineReader(name, sink, sampling);
    socket.on('data', (chunk) => {
      offset = now() - Date.now();
      sampling.measure(now());
      if (!reader.read(chunk)) socket.destroy();
    });
    socket.resume();
  }

  return {
    place: () => place,
    async open() {
      if (server !== undefined) return;
      for (const [key, ticks] of await readKept(booksPath, now())) {
        const [backend = '', name = ''] = key.split(' ');
        books.set(key, new ServerBook(ticks, totals.ofServer(backend, name)));
      }
      const found = await listenSomewhere(recordPath, (socket, at) => void take(socket, at));
      if (found === undefined) {
        options.log('warn', 'no port is free for the access log; judging by counters', {});
        return;
      }
      ({ server, place } = found);
      server.unref();
      keeper.start();
      if (found.remembered) return;
      await mkdir(options.workDir, { recursive: true, mode: 0o700 });
      await writeFile(recordPath, `${place.port} ${place.name}\n`, { mode: 0o600 });
    },
    account(app, { worker, requests, current }) {
      if (worker === null) return;
      const account = accounts.get(app) ?? new LossAccount();
      accounts.set(app, account);
      for (const key of lines.keys()) {
        // Lines of a worker that has gone for good.
        if (lines.size > 1_000 && !key.startsWith(`${worker} `)) lines.delete(key);
      }
      const came = lines.get(`${worker} ${backendOf(app)}`)?.lines ?? 0;
      account.look({ at: now(), worker, requests, inFlight: current, lines: came });
    },
    signals(app, servers, since) {
      const found = servers.map((name): [string, readonly SignalTick[]] => [
        name,
        books.get(`${backendOf(app)} ${name}`)?.ticks() ?? [],
      ]);
      const lost = place === undefined ? 1 : (accounts.get(app)?.lostSince(since) ?? null);
      return { lost, servers: new Map(found) };
    },
    lines(app) {
      let sum = 0;
      for (const [key, count] of lines) if (key.endsWith(` ${backendOf(app)}`)) sum += count.lines;
      return sum;
    },
    lost: (app) => accounts.get(app)?.lost ?? 0,
    totals: (app, release) => totals.ofRelease(app, release),
    async keep() {
      if (server !== undefined) await keeper.keep();
    },
    async close() {
      if (server === undefined) return;
      server.close();
      for (const socket of sockets) socket.destroy();
      await keeper.close();
    },
  };
}
