import { type Capabilities, capabilitiesOf } from './capabilities.ts';
import { holdServer } from './config/hold.ts';
import { maintenanceServer } from './config/maintenance.ts';
import { backendOf } from './config/names.ts';
import type { Context } from './context.ts';
import type { AppCounters, ServerCounters } from './proxy.ts';
import { refusalOf } from './refusal.ts';
import { parseInfo, parseStat, type StatRow, statNumber } from './tables.ts';
import { onCurrentWorker } from './worker.ts';

/**
 * HAProxy's counters of an app, of the current worker since its start (management guide, "CSV
 * format"; what they count when a request is tried again is measured on 2.6.12). Backend:
 * `req_tot` requests that entered it, `hrsp_5xx` answers whoever made them. Server: `lbtot` times
 * it was chosen (a request tried on two servers counts at both); what `use-server` has sent is in
 * `stot` alone, which leaves out refused connections; `hrsp_5xx` answers it gave itself.
 * All are 0 for an app HAProxy does not know.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function readCounters(
  context: Context,
  app: string,
  signal: AbortSignal,
): Promise<AppCounters> {
  const backend = backendOf(app);
  const { info, answer, table } = await onCurrentWorker(context, signal, async ({ ask }) => ({
    info: parseInfo(await ask('show info')),
    // 2: the backend, 4: its servers.
    answer: await ask(`show stat ${backend} 6 -1`),
    table: await ask(`show table ${maintenanceServer(app).backend}`),
  }));
  if (refusalOf(answer) === 'no_such_backend') {
    const nothing = { requests: 0, responses5xx: 0, turnedAway: 0, current: 0 };
    return { worker: null, ...nothing, servers: new Map() };
  }
  const rows = parseStat(answer);
  const total = rows.find((row) => row.get('type') === '1');
  const can = capabilitiesOf(info.version);
  return {
    worker: info.pid,
    requests: total === undefined ? 0 : statNumber(total, 'req_tot'),
    current: total === undefined ? 0 : statNumber(total, 'scur'),
    responses5xx: total === undefined ? 0 : statNumber(total, 'hrsp_5xx'),
    turnedAway: Number(/\bhttp_req_cnt=(\d+)/.exec(table)?.[1] ?? 0),
    servers: new Map(
      rows
        .filter((row) => row.get('type') === '2')
        .map((row) => [row.get('svname') ?? '', serverCounters(row, can)]),
    ),
  };
}

/**
 * Requests of an app that wait, or have waited and are not answered yet; 0 for one whose requests
 * never do.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function countHeld(
  context: Context,
  app: string,
  signal: AbortSignal,
): Promise<number> {
  const table = await onCurrentWorker(context, signal, ({ ask }) =>
    ask(`show table ${holdServer(app).backend}`),
  );
  return Number(/\bconn_cur=(\d+)/.exec(table)?.[1] ?? 0);
}

function serverCounters(row: StatRow, can: Capabilities): ServerCounters {
  const failed = failedAttempts(row, can);
  return {
    requests: Math.max(statNumber(row, 'lbtot'), statNumber(row, 'stot')),
    responses5xx: statNumber(row, 'hrsp_5xx'),
    failed,
    saved: savedAttempts(row),
    settled: settledRequests(row, failed),
    current: statNumber(row, 'scur'),
    status: statusWord(row.get('status') ?? ''),
  };
}

/**
 * Attempts that ended without an answer of the server. `econ` and `eresp` are those that failed
 * the request. One that a retry saved shows only as a retry or as a redispatch: a refused one as
 * `wredis`, an empty answer as both, so the larger is the number of attempts. Where `eresp` has the
 * retried ones too, only what was refused is added to it.
 */
function failedAttempts(row: StatRow, can: Capabilities): number {
  const refused = statNumber(row, 'econ');
  const broken = statNumber(row, 'eresp');
  if (!can.has('retries_are_errors')) return refused + broken + savedAttempts(row);
  const retried = statNumber(row, 'wretr');
  const redispatched = statNumber(row, 'wredis');
  return refused + Math.max(broken, retried) + Math.max(0, redispatched - retried);
}

function savedAttempts(row: StatRow): number {
  return Math.max(statNumber(row, 'wretr'), statNumber(row, 'wredis'));
}

/** 101, an upgrade, counts as an answer; `hrsp_other` is what had no readable status. */
function settledRequests(row: StatRow, failed: number): number {
  const answers = ['1xx', '2xx', '3xx', '4xx', '5xx', 'other'];
  const given = answers.reduce((sum, kind) => sum + statNumber(row, `hrsp_${kind}`), 0);
  return given + failed + statNumber(row, 'cli_abrt');
}

/** `UP 1/3` is on its way down but takes requests, `DOWN 1/2` the other way round. */
function statusWord(status: string): string {
  return /^(UP|DOWN|MAINT|DRAIN|no check)/.exec(status)?.[1] ?? status;
}
