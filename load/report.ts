import type { Ledger } from './ledger.ts';
import { QUICK_KINDS } from './mix.ts';
import { isLost, KINDS, type Kind, type LostReason, type RequestRecord } from './outcome.ts';
import type { Records, Row } from './records.ts';
import type { Gap, WebSocketClose } from './websocket.ts';

/** Times of whole answers, ms; null when there was none. */
export interface Latency {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export interface KindReport extends Latency {
  readonly requests: number;
  readonly appErrors: number;
  readonly lost: number;
  /** Requests over a connection that had carried another one before. */
  readonly reused: number;
}

/** A stretch of time: ms since the epoch. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Latencies are those of good answers of the quick kinds: busy, idle, fresh and upload. */
export interface WindowReport extends Latency {
  /** Requests of every kind that were under way at some time of the window. */
  readonly requests: number;
  readonly lost: number;
  readonly appErrors: number;
}

export interface WebSocketReport {
  /** Handshakes that succeeded, opened again after a close included. */
  readonly opened: number;
  /** Still open when the load was stopped. */
  readonly held: number;
  readonly messages: number;
  /** Messages that did not have the number after the one before. */
  readonly gaps: number;
  /** Closed by the server side, and the caller says that it was due. */
  readonly closedByDrain: number;
  /** Closed by the server side while nobody had the right to. */
  readonly cutEarly: number;
  readonly longestSilenceMs: number;
  /** The first hundred of those that were cut early, and of the gaps. */
  readonly cuts: readonly WebSocketClose[];
  readonly firstGaps: readonly Gap[];
}

export interface LoadReport {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly requests: number;
  readonly appErrors: number;
  readonly lost: number;
  readonly lostByReason: Readonly<Partial<Record<LostReason, number>>>;
  readonly byKind: Readonly<Record<Kind, KindReport>>;
  /** Good answers by the release that gave them. */
  readonly byRelease: Readonly<Record<string, number>>;
  /** The lost requests, the first fifty thousand of them. */
  readonly losses: readonly RequestRecord[];
  /** The load ended itself because it had sent as many requests as it may keep. */
  readonly full: boolean;
  readonly websockets: WebSocketReport;
  /** Null when the load was not told where the ledger is. */
  readonly ledger: Ledger | null;
}

/** What the requests say, by kind, release and reason. */
export function reportRequests(
  records: Records,
): Pick<LoadReport, 'byKind' | 'byRelease' | 'lostByReason'> {
  const rows = Map.groupBy(records.rows(), (row) => row.kind);
  const byRelease: Record<string, number> = {};
  const lostByReason: Partial<Record<LostReason, number>> = {};
  for (const row of records.rows()) {
    const { outcome } = row;
    if (outcome === 'ok') byRelease[row.release] = (byRelease[row.release] ?? 0) + 1;
    if (isLost(outcome)) lostByReason[outcome] = (lostByReason[outcome] ?? 0) + 1;
  }
  const kindReport = (kind: Kind): KindReport => {
    const own = rows.get(kind) ?? [];
    return {
      requests: own.length,
      appErrors: own.filter((row) => row.outcome === 'appError').length,
      lost: own.filter((row) => isLost(row.outcome)).length,
      reused: own.filter((row) => row.reused).length,
      ...latencyOf(own),
    };
  };
  return {
    byKind: {
      busy: kindReport('busy'),
      idle: kindReport('idle'),
      fresh: kindReport('fresh'),
      slow: kindReport('slow'),
      upload: kindReport('upload'),
      stream: kindReport('stream'),
      websocket: kindReport('websocket'),
    },
    byRelease,
    lostByReason,
  };
}

/** The requests that were under way in one of the windows, or with `outside` in none of them. */
export function reportWindows(
  records: Records,
  windows: readonly Window[],
  side: 'inside' | 'outside',
): WindowReport {
  const rows = [...records.rows()].filter((row) => {
    const inside = windows.some(({ fromMs, toMs }) => row.end >= fromMs && row.start <= toMs);
    return inside === (side === 'inside');
  });
  return {
    requests: rows.length,
    lost: rows.filter((row) => isLost(row.outcome)).length,
    appErrors: rows.filter((row) => row.outcome === 'appError').length,
    ...latencyOf(rows.filter((row) => QUICK_KINDS.has(row.kind))),
  };
}

/** Quantiles by nearest rank: the smallest time that at least that share of answers kept to. */
export function latencyOf(rows: readonly Row[]): Latency {
  const times = Float64Array.from(
    rows.filter((row) => row.outcome === 'ok').map((row) => row.end - row.start),
  ).sort();
  const quantile = (share: number): number | null => {
    const time = times[Math.max(0, Math.ceil(share * times.length) - 1)];
    return time === undefined ? null : Math.round(time * 100) / 100;
  };
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99), maxMs: quantile(1) };
}

/** The kinds that had no good answer yet, of those that have clients. */
export function silentKinds(records: Records, clients: ReadonlySet<Kind>): readonly Kind[] {
  const heard = new Set<Kind>();
  for (const row of records.rows()) if (row.outcome === 'ok') heard.add(row.kind);
  return KINDS.filter((kind) => clients.has(kind) && !heard.has(kind));
}
