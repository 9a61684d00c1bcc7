import { backendOf } from './config/names.ts';
import type { Context } from './context.ts';
import { askWorker, showProcesses } from './master.ts';
import type { ServerConnections } from './proxy.ts';
import { refusalOf } from './refusal.ts';
import {
  parseServersConn,
  parseStat,
  parseTunnels,
  type StatRow,
  statNumber,
  type Tunnel,
} from './tables.ts';
import { onCurrentWorker } from './worker.ts';

type Ask = (command: string) => Promise<string>;

/** What one worker knows of some servers of an app. */
interface Seen {
  /** Server -> connections in use: requests in flight and tunnels. */
  readonly used: ReadonlyMap<string, number>;
  readonly tunnels: readonly Tunnel[];
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
  const { old } = await showProcesses(context.master, signal);
  const backend = backendOf(app);
  const wanted = new Set(servers);
  const seen = [
    await onCurrentWorker(context, signal, ({ ask }) => look(ask, backend, wanted, false)),
  ];
  for (const { pid } of old) {
    const there = await askWorker(context.master, pid, signal, (ask) =>
      look(ask, backend, wanted, true),
    );
    if (there !== undefined) seen.push(there);
  }
  return servers.map((server) => {
    const used = sum(seen.map((worker) => worker.used.get(server) ?? 0));
    const tunnels = sum(
      seen.map((worker) => worker.tunnels.filter((tunnel) => tunnel.server === server).length),
    );
    return {
      server,
      // A tunnel may have ended between the two tables.
      requests: Math.max(0, used - tunnels),
      websockets: tunnels,
      reachableByOldWorker: seen.some((worker) => worker.reachable.has(server)),
    };
  });
}

/**
 * Closes up to `count` tunnels of these servers, those on old workers first: they keep a whole
 * worker alive. @returns how many were closed. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function closeTunnels(
  context: Context,
  app: string,
  servers: readonly string[],
  count: number,
  signal: AbortSignal,
): Promise<number> {
  const { old } = await showProcesses(context.master, signal);
  const backend = backendOf(app);
  const wanted = new Set(servers);
  let closed = 0;
  for (const { pid } of old) {
    if (closed >= count) return closed;
    const there = await askWorker(context.master, pid, signal, (ask) =>
      close(ask, backend, wanted, count - closed),
    );
    closed += there ?? 0;
  }
  if (closed >= count) return closed;
  return (
    closed +
    (await onCurrentWorker(context, signal, ({ ask }) =>
      close(ask, backend, wanted, count - closed),
    ))
  );
}

async function look(
  ask: Ask,
  backend: string,
  wanted: ReadonlySet<string>,
  old: boolean,
): Promise<Seen> {
  const nothing = { used: new Map<string, number>(), tunnels: [], reachable: new Set<string>() };
  const connections = await ask(`show servers conn ${backend}`);
  if (refusalOf(connections) === 'no_such_backend') return nothing;
  const used = new Map(
    parseServersConn(connections).flatMap((row) =>
      wanted.has(row.server) ? [[row.server, row.used] as const] : [],
    ),
  );
  const inUse = sum([...used.values()]) > 0;
  // The dump of all streams is the dearest command there is: only when it can say something.
  const all = inUse || (old && used.size > 0) ? parseTunnels(await ask('show sess all')) : [];
  const tunnels = all.filter((tunnel) => tunnel.backend === backend && wanted.has(tunnel.server));
  if (!old || used.size === 0) return { used, tunnels, reachable: nothing.reachable };
  const rows = parseStat(await ask('show stat -1 5 -1'));
  const maySendMore = clientsOf(rows) > all.length;
  const reachable = [...used].filter(
    ([server, connectionsInUse]) =>
      connectionsInUse > 0 || (maySendMore && mayReach(rows, backend, server)),
  );
  return { used, tunnels, reachable: new Set(reachable.map(([server]) => server)) };
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

/** An old worker keeps the weights of its last moment: its proxies take no commands any more. */
function mayReach(rows: readonly StatRow[], backend: string, server: string): boolean {
  const row = rows.find(
    (candidate) => candidate.get('pxname') === backend && candidate.get('svname') === server,
  );
  if (row === undefined || (row.get('status') ?? '').startsWith('MAINT')) return false;
  return statNumber(row, 'uweight') > 0;
}

async function close(
  ask: Ask,
  backend: string,
  wanted: ReadonlySet<string>,
  count: number,
): Promise<number> {
  const tunnels = parseTunnels(await ask('show sess all')).filter(
    (tunnel) => tunnel.backend === backend && wanted.has(tunnel.server),
  );
  let closed = 0;
  for (const tunnel of tunnels) {
    if (closed >= count) break;
    // The pointer of a stream that has ended is given to the next one, which may be a request.
    const [now] = parseTunnels(await ask(`show sess ${tunnel.pointer}`));
    if (now?.id !== tunnel.id) continue;
    const answer = await ask(`shutdown session ${tunnel.pointer}`);
    if (answer === '') closed += 1;
  }
  return closed;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
