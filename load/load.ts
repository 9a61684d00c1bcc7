import { setMaxListeners } from 'node:events';
import { Agent } from 'node:http';
import { readLedger } from './ledger.ts';
import { DEFAULT_MIX, type Mix, nextStep, pacing, type RequestKind } from './mix.ts';
import { KINDS, type Kind, now, type RequestRecord } from './outcome.ts';
import { Records, type Row } from './records.ts';
import {
  type LoadReport,
  reportRequests,
  reportWindows,
  silentKinds,
  type Window,
  type WindowReport,
} from './report.ts';
import { type SentRequest, sendRequest, type Target } from './request.ts';
import type { WebSocketClose } from './websocket.ts';
import { pause, WebSockets } from './websockets.ts';

export interface LoadOptions {
  /** `http://127.0.0.1:8080`, the address of the example app or of a proxy before it. */
  readonly url: string;
  /** The `host` header, when it shall differ from the URL's. */
  readonly hostHeader?: string;
  /** Clients by kind; kinds left out have the default number. */
  readonly mix?: Partial<Mix>;
  /** About so many requests a second in all. Default 800. */
  readonly rate?: number;
  /** WebSockets kept open. Default 0. */
  readonly websockets?: number;
  /** How often the server sends a numbered message on each. Default 500. */
  readonly wsIntervalMs?: number;
  /** Time for an answer on top of the time it was asked to take. Default 10 000. */
  readonly deadlineMs?: number;
  /** The folder given to the app as `ZDD_SHOP_LEDGER`: duplicates are then in the report. */
  readonly ledger?: string;
  /**
   * Says of a WebSocket closed by the server side that this was due, such as after the drain
   * deadline of its release. Asked when a report is made, so it may use what is known only then.
   * Default: never due, each close counts as cut early.
   */
  readonly closedByDrain?: (close: WebSocketClose) => boolean;
  /** The load ends itself after so many requests. Default 1 000 000. */
  readonly maxRequests?: number;
}

export interface LoadSnapshot {
  readonly requests: number;
  readonly lost: number;
  readonly appErrors: number;
  readonly inFlight: number;
  readonly websocketsOpen: number;
  readonly websocketsCutEarly: number;
  readonly websocketMessages: number;
}

/** A running load. Every request it sends is recorded, none is ever sent again. */
export interface Load extends AsyncDisposable {
  snapshot(): LoadSnapshot;
  /**
   * Resolves when every kind has had a good answer and all WebSockets are open.
   * @throws Error naming what is missing after `timeoutMs`.
   */
  ready(timeoutMs: number): Promise<void>;
  /**
   * When the first good answer of `release` began to arrive, ms since the epoch, of those that
   * began after `sinceMs`. Resolves at once when there is one already.
   * @throws Error after `timeoutMs`.
   */
  firstAnswerFrom(
    release: string,
    options: { readonly sinceMs?: number; readonly timeoutMs: number },
  ): Promise<number>;
  /** The requests under way between two times, ms since the epoch. Reads all: dear while it runs. */
  window(fromMs: number, toMs: number): WindowReport;
  /** The requests under way in any of these windows, or in none of them. */
  windows(windows: readonly Window[], side: 'inside' | 'outside'): WindowReport;
  /** Every recorded request, in the order in which they ended. */
  rows(): Iterable<Row>;
  /** Every WebSocket that the server side closed so far. */
  readonly websocketCloses: readonly WebSocketClose[];
  /**
   * Sends nothing new, lets what is in flight end within `drainMs` (default 5 000), counts the
   * rest as `timeout`, closes the WebSockets and reports. A second call gives the same report. The
   * end of an `await using` block is a stop that waits for nothing.
   */
  stop(drainMs?: number): Promise<LoadReport>;
}

interface Watcher {
  readonly release: string;
  readonly sinceMs: number;
  readonly seen: (at: number) => void;
}

/** Starts the load. */
export function startLoad(options: LoadOptions): Load {
  const target: Target = {
    url: new URL(options.url),
    ...(options.hostHeader === undefined ? {} : { hostHeader: options.hostHeader }),
  };
  const mix: Mix = { ...DEFAULT_MIX, ...options.mix };
  const deadlineMs = options.deadlineMs ?? 10_000;
  const pacedMs = pacing(mix, options.rate ?? 800);
  const records = new Records(options.maxRequests ?? 1_000_000);
  const inFlight = new Set<SentRequest>();
  const watchers = new Set<Watcher>();
  const stopping = new AbortController();
  const { signal } = stopping;
  setMaxListeners(0, signal);
  const startedAt = now();

  const record = (one: RequestRecord): void => {
    records.add(one);
    if (records.full) stopping.abort();
    if (one.outcome !== 'ok') return;
    for (const watcher of watchers) {
      if (watcher.release === one.release && one.firstByte >= watcher.sinceMs) {
        watcher.seen(one.firstByte);
      }
    }
  };

  const runClient = async (kind: RequestKind): Promise<void> => {
    const agent = kind === 'fresh' ? false : new Agent({ keepAlive: true, maxSockets: 1 });
    const paced = pacedMs.get(kind) ?? 0;
    let startAt = now() + Math.random() * Math.max(paced, 200);
    for (;;) {
      await pause(startAt - now(), signal);
      if (signal.aborted) break;
      const { plan, askedMs, everyMs, thinkMs } = nextStep(kind, paced);
      const sent = sendRequest(target, { ...plan, agent, deadlineMs: askedMs + deadlineMs });
      inFlight.add(sent);
      record(await sent.done);
      inFlight.delete(sent);
      startAt = Math.max(now() + thinkMs, startAt + everyMs);
    }
    if (agent !== false) agent.destroy();
  };

  const websockets = new WebSockets({
    target,
    count: options.websockets ?? 0,
    intervalMs: options.wsIntervalMs ?? 500,
    deadlineMs,
    closedByDrain: options.closedByDrain ?? (() => false),
    shaken: record,
    signal,
  });
  const clients = KINDS.flatMap((kind) =>
    kind === 'websocket' ? [] : Array.from({ length: mix[kind] }, () => runClient(kind)),
  );
  const kinds = new Set<Kind>(KINDS.filter((kind) => kind !== 'websocket' && mix[kind] > 0));

  const end = async (drainMs: number): Promise<LoadReport> => {
    stopping.abort();
    const late = setTimeout(() => {
      for (const sent of inFlight) sent.giveUp();
    }, drainMs);
    await Promise.all([...clients, websockets.end(drainMs)]);
    clearTimeout(late);
    return {
      startedAt,
      endedAt: now(),
      requests: records.length,
      appErrors: records.appErrors,
      lost: records.lost,
      ...reportRequests(records),
      losses: records.losses,
      full: records.full,
      websockets: websockets.report(),
      ledger: options.ledger === undefined ? null : await readLedger(options.ledger),
    };
  };
  let report: Promise<LoadReport> | undefined;

  return {
    snapshot() {
      const { cutEarly, messages } = websockets.report();
      return {
        requests: records.length,
        lost: records.lost,
        appErrors: records.appErrors,
        inFlight: inFlight.size,
        websocketsOpen: websockets.openNow,
        websocketsCutEarly: cutEarly,
        websocketMessages: messages,
      };
    },
    async ready(timeoutMs) {
      const until = now() + timeoutMs;
      for (;;) {
        const silent = silentKinds(records, kinds);
        const missing = (options.websockets ?? 0) - websockets.openNow;
        if (silent.length === 0 && missing <= 0) return;
        if (now() > until || signal.aborted) {
          throw new Error(
            `the load is not ready: no good answer for ${silent.join(', ') || 'nothing'}, ${missing} WebSockets not open`,
          );
        }
        await pause(20, signal);
      }
    },
    firstAnswerFrom(release, { sinceMs = 0, timeoutMs }) {
      for (const row of records.rows()) {
        if (row.release === release && row.outcome === 'ok' && row.firstByte >= sinceMs) {
          return Promise.resolve(row.firstByte);
        }
      }
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      const timer = setTimeout(() => {
        watchers.delete(watcher);
        reject(new Error(`no answer from ${release} within ${timeoutMs} ms`));
      }, timeoutMs);
      const watcher: Watcher = {
        release,
        sinceMs,
        seen: (at) => {
          clearTimeout(timer);
          watchers.delete(watcher);
          resolve(at);
        },
      };
      watchers.add(watcher);
      return promise;
    },
    window: (fromMs, toMs) => reportWindows(records, [{ fromMs, toMs }], 'inside'),
    windows: (windows, side) => reportWindows(records, windows, side),
    rows: () => records.rows(),
    get websocketCloses() {
      return websockets.closes;
    },
    stop(drainMs = 5_000) {
      report ??= end(drainMs);
      return report;
    },
    async [Symbol.asyncDispose]() {
      await this.stop(0);
    },
  };
}
