/**
 * What the rest of the daemon knows of HAProxy: it says how traffic shall be, `apply` makes the
 * file and the running process so, in an order in which nothing is lost.
 */

import type { AppSignals } from './access-log/book.ts';
import type { ReleaseTotals } from './access-log/totals.ts';
import type { DesiredProxy } from './desired.ts';
import type { MirrorOptions } from './shadow/line.ts';

export interface Applied {
  /** The shape had changed, so HAProxy was reloaded. */
  readonly reloaded: boolean;
  /** From the first command that moves traffic to its confirmation, ms; 0 when nothing moved. */
  readonly switchMs: number;
  readonly changed: boolean;
}

/** Connections to one server, over all workers, old ones included. */
export interface ServerConnections {
  readonly server: string;
  /** Requests being answered now. */
  readonly requests: number;
  /** Tunnels: WebSockets and CONNECT. */
  readonly websockets: number;
  /** Answers that are open by nature: SSE and gRPC, told by their content type. */
  readonly streams: number;
  /** An old worker that knows this server may still send it a new request. */
  readonly reachableByOldWorker: boolean;
}

/** One connection to a server, on whichever worker. */
export interface OpenConnection {
  /** Pid of the worker that holds it. */
  readonly worker: number;
  readonly isOld: boolean;
  /** What HAProxy calls it now, and what it never calls another one. */
  readonly pointer: string;
  readonly id: string;
  readonly server: string;
  readonly kind: 'tunnel' | 'stream' | 'request';
}

/** HAProxy's own counters since its worker started; they fall back to 0 after a reload. */
export interface AppCounters {
  /** Pid of the worker that counts; null when HAProxy does not know the app. */
  readonly worker: number | null;
  /** Requests that entered the backend. */
  readonly requests: number;
  /** 5xx answers of the backend, whoever made them. */
  readonly responses5xx: number;
  /** Of these requests and answers, those that maintenance has turned away. */
  readonly turnedAway: number;
  /** Requests that have not ended, upgraded connections included. */
  readonly current: number;
  /** Per server: requests and 5xx that the server itself sent; `failed`: refused, reset, no answer. */
  readonly servers: ReadonlyMap<string, ServerCounters>;
}

export interface ServerCounters {
  readonly requests: number;
  readonly responses5xx: number;
  readonly failed: number;
  /** Of `failed`, those that a retry saved: no user saw them. */
  readonly saved: number;
  /** Requests that have their answer, an upgrade too, or that failed or were given up. */
  readonly settled: number;
  /** Requests in flight, upgraded connections included. */
  readonly current: number;
  /** What HAProxy's own check says: `UP`, `DOWN`, `MAINT`, `DRAIN`, `no check`. */
  readonly status: string;
}

/**
 * How traffic moves: `runtime`, by commands to the running worker; `reload`, by graceful reloads, for
 * a HAProxy whose admin socket lets the agent only look, or by choice.
 */
export type SwitchBy = 'runtime' | 'reload';

export interface ProxyInfo {
  readonly version: string;
  readonly pid: number;
  /** Old workers that have not ended yet. */
  readonly oldWorkers: number;
  /** Reloads since the master started, by whomever. */
  readonly reloads: number;
  readonly switchBy: SwitchBy;
}

export interface Difference {
  /** For people: `haproxy.cfg: managed region edited`, `shop/r42-d57-web-1: weight 0, wanted 100`. */
  readonly what: string;
}

/** What the managed region says, and what it would say. */
export interface RegionPreview {
  /** Of `haproxy.cfg`. */
  readonly path: string;
  readonly before: string;
  readonly after: string;
}

export interface Haproxy {
  /** Starts an embedded HAProxy when it does not run; checks version and sockets. */
  open(signal: AbortSignal): Promise<ProxyInfo>;
  info(signal: AbortSignal): Promise<ProxyInfo>;
  /**
   * Makes file and running HAProxy say `desired`. The file is rendered, checked by `haproxy -c`
   * and renamed into place first; then servers are added at weight 0 and confirmed by HAProxy's own
   * check; then all weights move in one transaction; then servers leave. Idempotent. Nothing has
   * moved when it throws before the weights: ZDD_HAPROXY_CONFIG_INVALID, ZDD_HAPROXY_REGION_BROKEN,
   * ZDD_HAPROXY_SERVER_DOWN, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT, ZDD_HAPROXY_RELOAD_FAILED,
   * ZDD_HAPROXY_IN_USE, ZDD_HAPROXY_TOO_MANY_WORKERS (after a reload was waited with for a while).
   * @param desired as a function: asked when its turn has come, for while it waited others went first
   * @param app whose change it is: only its servers are looked at anew, and those of other apps that are
   *   wanted otherwise than the last `apply` left them. Without it, and in `inspect`, all are.
   */
  apply(
    desired: DesiredProxy | (() => DesiredProxy),
    signal: AbortSignal,
    app?: string,
  ): Promise<Applied>;
  /** What differs between `desired`, the file and the running process. Changes nothing. */
  inspect(desired: DesiredProxy, signal: AbortSignal): Promise<readonly Difference[]>;
  /** @throws ZDD_TLS_UNAVAILABLE where the agent's frontend cannot take TLS, and why */
  requireTls(): Promise<void>;
  /**
   * Whether HAProxy itself can use a certificate; changes nothing.
   * @param pem certificate, chain and key
   * @throws ZDD_HAPROXY_CONFIG_INVALID with its own words
   */
  tryCertificate(pem: string, signal: AbortSignal): Promise<void>;
  /** What the file says now and would say for `desired`. Asks nobody, changes nothing. */
  preview(desired: DesiredProxy): Promise<RegionPreview>;
  connections(
    app: string,
    servers: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly ServerConnections[]>;
  /** Every connection of these servers by itself, as of now or, when there are many, lately. */
  openConnections(
    app: string,
    servers: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly OpenConnection[]>;
  /** Closes those that are still what they were. Returns how many. */
  closeConnections(connections: readonly OpenConnection[], signal: AbortSignal): Promise<number>;
  /** Pids of old workers, oldest first, and how many may stand. */
  oldWorkers(signal: AbortSignal): Promise<{ readonly old: readonly number[]; limit: number }>;
  /** WebSockets and streams of one worker to servers of the agent's own backends. */
  longConnections(worker: number, signal: AbortSignal): Promise<readonly OpenConnection[]>;
  counters(app: string, signal: AbortSignal): Promise<AppCounters>;
  /**
   * What these servers did for the last hour, by HAProxy's access log, and which share of the app's
   * lines since then is missing; that is found out whenever `counters` is asked.
   * @param since ms, by the daemon's clock
   */
  signals(app: string, servers: readonly string[], since: number): AppSignals;
  /** What a release did since the agent began, by the access log. */
  totals(app: string, release: string): ReleaseTotals;
  /** Lines of the log about an app that came, and those that did not; see `signals`. */
  logLines(app: string): { readonly came: number; readonly lost: number };
  /** Requests of an app that wait while its instances change hands, or have and are being answered. */
  held(app: string, signal: AbortSignal): Promise<number>;
  /** Has what `signals` knows by now outlive the agent, however that ends. */
  keepSignals(): Promise<void>;
  /**
   * Tells of a share of an app's live requests, with how they were answered, until `signal` ends it.
   * Needs an app with `shadow`, and a HAProxy that takes commands. HAProxy waits for nobody.
   * @throws what kept it from beginning at all
   */
  mirror(options: MirrorOptions, signal: AbortSignal): Promise<void>;
  /** Lets go of sockets and timers; HAProxy runs on. */
  close(): Promise<void>;
}

export type { AppSignals, SignalTick } from './access-log/book.ts';
export { type ReleaseTotals, WAIT_BUCKETS_MS } from './access-log/totals.ts';
export type { MirroredRequest, MirrorOptions } from './shadow/line.ts';
