import { appOf, backendOf } from './config/names.ts';
import type { Context } from './context.ts';
import { askWorker, showProcesses } from './master.ts';
import type { OpenConnection, ServerConnections } from './proxy.ts';
import { refusalOf } from './refusal.ts';
import { parseStreams, type Stream, type StreamKind } from './streams.ts';
import { parseServersConn, parseStat, type StatRow, statNumber } from './tables.ts';
import { onCurrentWorker } from './worker.ts';

type Ask = (command: string) => Promise<string>;

/** What one worker knows of some servers of an app. */
interface Seen {
  /** Server -> connections in use: requests in flight, streams and tunnels. */
  readonly used: ReadonlyMap<string, number>;
  readonly streams: readonly Stream[];
  /** Servers that the worker may still send a new request. Never for the current worker. */
  readonly reachable: ReadonlySet<string>;
}

/**
 * Counts connections to servers over the current and all old workers; see `Haproxy.connections`.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function countConnections(
  context: Context,
  app: string,
  servers: readonly string[],
  signal: AbortSignal,
): Promise<readonly ServerConnections[]> {
  const seen = await onEveryWorker(context, signal, (ask, worker, old) =>
    look(context, ask, worker, backendOf(app), new Set(servers), old),
  );
  return servers.map((server) => {
    const counts = seen.map((worker) => countsOf(worker, server));
    return {
      server,
      requests: sum(counts.map(({ requests }) => requests)),
      websockets: sum(counts.map(({ tunnels }) => tunnels)),
      streams: sum(counts.map(({ streams }) => streams)),
      reachableByOldWorker: seen.some((worker) => worker.reachable.has(server)),
    };
  });
}

/**
 * Every connection of these servers by itself; see `Haproxy.openConnections`.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function listConnections(
  context: Context,
  app: string,
  servers: readonly string[],
  signal: AbortSignal,
): Promise<readonly OpenConnection[]> {
  const backend = backendOf(app);
  const wanted = new Set(servers);
  const found = await onEveryWorker(context, signal, async (ask, worker, isOld) => {
    const used = await usedOf(ask, backend, wanted);
    if (sum([...used.values()]) === 0) return [];
    return (await context.streams.recent(worker, ask))
      .filter((stream) => stream.backend === backend && wanted.has(stream.server))
      .map(({ pointer, id, server, kind }) => ({ worker, isOld, pointer, id, server, kind }));
  });
  return found.flat();
}

/**
 * WebSockets and streams that one worker holds to servers of ours; see `Haproxy.longConnections`.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function listLong(
  { master, streams }: Context,
  worker: number,
  signal: AbortSignal,
): Promise<readonly OpenConnection[]> {
  const all = await askWorker(master, worker, signal, (ask) => streams.recent(worker, ask));
  return (all ?? [])
    .filter(({ backend, kind }) => appOf(backend) !== undefined && kind !== 'request')
    .map(({ pointer, id, server, kind }) => ({ worker, isOld: true, pointer, id, server, kind }));
}

/**
 * Closes connections that are still what they were; see `Haproxy.closeConnections`.
 * @returns how many. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function closeConnections(
  context: Context,
  connections: readonly OpenConnection[],
  signal: AbortSignal,
): Promise<number> {
  const closed = new Set<OpenConnection>();
  for (const [worker, some] of Map.groupBy(connections, (connection) => connection.worker)) {
    await askWorker(context.master, worker, signal, async (ask) => {
      for (const connection of some) {
        if (!closed.has(connection) && (await close(ask, connection))) closed.add(connection);
      }
    });
  }
  return closed.size;
}

/** What each worker says, the current one first; one that has just ended says nothing. */
async function onEveryWorker<T>(
  context: Context,
  signal: AbortSignal,
  talk: (ask: Ask, worker: number, isOld: boolean) => Promise<T>,
): Promise<readonly T[]> {
  const { current, old } = await showProcesses(context.master, signal);
  const { pid: answered, answer } = await onCurrentWorker(context, signal, async ({ ask }, pid) => {
    return { pid, answer: await talk(ask, pid, false) };
  });
  // Reloaded in between: the worker that was the current one would be in neither list.
  if (current?.pid !== answered) return await onEveryWorker(context, signal, talk);
  const said = [answer];
  for (const { pid } of old) {
    const there = await askWorker(context.master, pid, signal, (ask) => talk(ask, pid, true));
    if (there !== undefined) said.push(there);
  }
  return said;
}

async function look(
  context: Context,
  ask: Ask,
  worker: number,
  backend: string,
  wanted: ReadonlySet<string>,
  isOld: boolean,
): Promise<Seen> {
  const used = await usedOf(ask, backend, wanted);
  const inUse = sum([...used.values()]) > 0;
  const reachable = isOld
    ? await reachableOn(context, ask, worker, backend, used)
    : new Set<string>();
  const all = inUse ? await context.streams.recent(worker, ask) : [];
  const streams = all.filter((stream) => stream.backend === backend && wanted.has(stream.server));
  return { used, streams, reachable };
}

/** Connections in use, per server; empty when this worker does not know the backend. */
async function usedOf(
  ask: Ask,
  backend: string,
  wanted: ReadonlySet<string>,
): Promise<ReadonlyMap<string, number>> {
  const answer = await ask(`show servers conn ${backend}`);
  if (refusalOf(answer) === 'no_such_backend') return new Map();
  return new Map(
    parseServersConn(answer).flatMap((row) =>
      wanted.has(row.server) ? [[row.server, row.used] as const] : [],
    ),
  );
}

/**
 * Servers that an old worker may send one more request: those in use, and those with weight while it
 * has a client that is more than a tunnel. Clients are counted before tunnels: a tunnel that ends in
 * between then looks like a client that may come again, never the other way round.
 */
async function reachableOn(
  context: Context,
  ask: Ask,
  worker: number,
  backend: string,
  used: ReadonlyMap<string, number>,
): Promise<ReadonlySet<string>> {
  const busy = [...used].flatMap(([server, count]) => (count > 0 ? [server] : []));
  if (busy.length === used.size) return new Set(busy);
  const rows = parseStat(await ask('show stat -1 5 -1'));
  const weighty = [...used.keys()].filter((server) => mayReach(rows, backend, server));
  const clients = clientsOf(rows);
  if (clients === 0 || weighty.length === 0) return new Set(busy);
  const streams = await context.streams.now(worker, ask);
  // Not asked again so soon: then it may.
  const mayAsk = streams === undefined || clients > tunnelClients(streams);
  return new Set(mayAsk ? [...busy, ...weighty] : busy);
}

/**
 * Client connections of all HTTP frontends. Each that is not a tunnel may bring one more request:
 * an idle one at any time, a busy one whose answer had begun before the reload when that has ended.
 */
function clientsOf(rows: readonly StatRow[]): number {
  return sum(
    rows
      .filter((row) => row.get('type') === '0' && row.get('mode') === 'http')
      .map((row) => statNumber(row, 'scur')),
  );
}

function tunnelClients(streams: readonly Stream[]): number {
  const tunnels = streams.filter(({ kind }) => kind === 'tunnel');
  return new Set(tunnels.map(({ client }) => client)).size;
}

/** An old worker keeps the weights of its last moment: its proxies take no commands any more. */
function mayReach(rows: readonly StatRow[], backend: string, server: string): boolean {
  const row = rows.find(
    (candidate) => candidate.get('pxname') === backend && candidate.get('svname') === server,
  );
  if (row === undefined || (row.get('status') ?? '').startsWith('MAINT')) return false;
  return statNumber(row, 'uweight') > 0;
}

/** The list may be older than the count of what is in use: that is right, whatever the list says. */
function countsOf(
  { used, streams }: Seen,
  server: string,
): { requests: number; tunnels: number; streams: number } {
  const inUse = used.get(server) ?? 0;
  const listed = (kind: StreamKind): number =>
    streams.filter((stream) => stream.server === server && stream.kind === kind).length;
  const tunnels = Math.min(inUse, listed('tunnel'));
  const open = Math.min(inUse - tunnels, listed('stream'));
  return { requests: inUse - tunnels - open, tunnels, streams: open };
}

/** The pointer of a stream that has ended is given to the next one, which may be a request. */
async function close(ask: Ask, { pointer, id, kind }: OpenConnection): Promise<boolean> {
  const [now] = parseStreams(await ask(`show sess ${pointer}`));
  if (now?.id !== id || now.kind !== kind) return false;
  return (await ask(`shutdown session ${pointer}`)) === '';
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
