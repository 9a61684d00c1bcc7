import { SHAPE_VARIABLE } from './config/render.ts';
import { commandError, refusalOf } from './refusal.ts';
import type { Conversation } from './runtime.ts';
import { parseEnv, parseInfo, parseStat, type StatRow, statNumber } from './tables.ts';

/** A server as the running worker has it. */
export interface RunningServer {
  readonly name: string;
  /** `host:port`, or `unix`: HAProxy does not tell where a unix server points. */
  readonly address: string;
  readonly weight: number;
  /** Its `maxconn`; absent or 0: none. */
  readonly limit?: number;
  /** Taken out by hand or by us: it gets nothing whatever its weight says. */
  readonly admin: 'ready' | 'drain' | 'maint';
  readonly down: boolean;
  /** HAProxy's own check has passed, and is not failing now. */
  readonly checkedOk: boolean;
  /** The last check in words: `L7OK`, `L7STS 503 Service Unavailable`. */
  readonly lastCheck: string;
  /** `UP`, `DOWN`, `MAINT`, `DRAIN`, `UP 1/3`, `no check`. */
  readonly status: string;
}

/** The running worker: which it is, what it has loaded, what its servers are. */
export interface Running {
  readonly pid: number;
  readonly version: string;
  /** Of the region it has loaded; undefined when it was started with a file without one. */
  readonly shape: string | undefined;
  /** Backend -> server name -> server. Ours and the admin's. */
  readonly backends: ReadonlyMap<string, ReadonlyMap<string, RunningServer>>;
  /** The backends that were looked at; the others are what is wanted, as far as is known. Absent: all were. */
  readonly near?: ReadonlySet<string>;
}

/**
 * Asks a worker; what follows on the same connection meets the same one.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function observeOn({ ask }: Pick<Conversation, 'ask'>): Promise<Running> {
  return { ...(await observeProcess({ ask })), backends: await backendsOf(ask, '-1') };
}

/**
 * Which worker it is, and what it has loaded.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function observeProcess({
  ask,
}: Pick<Conversation, 'ask'>): Promise<Omit<Running, 'backends'>> {
  const { pid, version } = parseInfo(await ask('show info'));
  const look = `show env ${SHAPE_VARIABLE}`;
  const answer = await ask(look);
  // A socket of level `user` shows too little even to look.
  if (refusalOf(answer) === 'no_permission') throw commandError(look, answer);
  return { pid, version, shape: parseEnv(SHAPE_VARIABLE, answer) };
}

/** Asking for more backends than this one by one is dearer than for all of them at once. */
export const FEW_BACKENDS = 10;

/**
 * The servers of these backends only: on a host with hundreds of apps the table of all of them is the
 * dearest answer there is, and a switch touches one.
 */
export async function observeBackends(
  { ask }: Pick<Conversation, 'ask'>,
  names: ReadonlySet<string>,
): Promise<Pick<Running, 'backends'>> {
  if (names.size > FEW_BACKENDS) return { backends: await backendsOf(ask, '-1') };
  const backends = new Map<string, ReadonlyMap<string, RunningServer>>();
  for (const name of names) {
    for (const [found, servers] of await backendsOf(ask, name)) backends.set(found, servers);
  }
  return { backends };
}

/** @param which a backend, or `-1` for all */
async function backendsOf(
  ask: Conversation['ask'],
  which: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, RunningServer>>> {
  // 2: backends, 4: servers. The backends too, or one without servers would seem not to exist.
  const answer = await ask(`show stat ${which} 6 -1`);
  if (refusalOf(answer) === 'no_such_backend') return new Map();
  const backends = new Map<string, Map<string, RunningServer>>();
  for (const row of parseStat(answer)) {
    const name = row.get('pxname') ?? '';
    const servers = backends.get(name) ?? new Map<string, RunningServer>();
    backends.set(name, servers);
    if (row.get('type') === '2') servers.set(row.get('svname') ?? '', runningServer(row));
  }
  return backends;
}

/** A server of a backend, undefined when either is not there. */
export function serverOf(
  running: Pick<Running, 'backends'>,
  backend: string,
  name: string,
): RunningServer | undefined {
  return running.backends.get(backend)?.get(name);
}

/** What part of new requests a server may get: 0 while it is taken out. */
export function effectiveWeight(server: RunningServer | undefined): number {
  return server === undefined || server.admin !== 'ready' ? 0 : server.weight;
}

function runningServer(row: StatRow): RunningServer {
  const status = row.get('status') ?? '';
  // `* ` marks a check that is running now; what follows is the last result.
  const check = (row.get('check_status') ?? '').replace(/^\* /, '');
  const detail = row.get('last_chk') || row.get('check_desc') || '';
  const down = status.startsWith('DOWN');
  return {
    name: row.get('svname') ?? '',
    address: row.get('addr') ?? '',
    weight: statNumber(row, 'uweight'),
    limit: statNumber(row, 'slim'),
    admin: status.startsWith('MAINT') ? 'maint' : status.startsWith('DRAIN') ? 'drain' : 'ready',
    down,
    // L4OK: the app has no health path, so HAProxy only connects.
    checkedOk: (check === 'L7OK' || check === 'L4OK') && !down,
    lastCheck: [check, row.get('check_code'), detail].filter((part) => part !== '').join(' '),
    status,
  };
}
