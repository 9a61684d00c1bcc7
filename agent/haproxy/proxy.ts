/**
 * What the rest of the daemon knows of HAProxy: it says how traffic shall be, `apply` makes the
 * file and the running process so, in an order in which nothing is lost.
 */

import type { Access, Redirect } from '../protocol/access.ts';
import type { Route } from '../protocol/routes.ts';
import type { AppSignals } from './access-log/book.ts';
import type { ReleaseTotals } from './access-log/totals.ts';
import type { MirrorOptions } from './shadow/line.ts';

/** Where HAProxy finds an instance. */
export type ServerAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** One server of an app's backend. */
export interface DesiredServer {
  /** `r42-d57-web-1` */
  readonly name: string;
  readonly address: ServerAddress;
  /** Weight for new requests, 0 to 256. 0 lets present connections live and takes no new ones. */
  readonly weight: number;
  /** `leaving`: nothing may use it any more; it is about to be stopped. */
  readonly state: 'ready' | 'leaving';
  /** Requests it is given at a time; absent: as many as come. */
  readonly maxconn?: number;
  /** How long it takes to its whole share when it comes back after it was down, ms; absent: at once. */
  readonly slowStartMs?: number;
}

/** The header that keeps browsers on https, `''` for none. */
export interface Hsts {
  readonly maxAgeS: number;
  readonly subdomains: boolean;
  readonly preload: boolean;
}

/** One app that takes traffic. */
export interface DesiredApp {
  readonly app: string;
  /**
   * Exact hosts come before wildcards, longer wildcards before shorter ones, `*` last; of one host
   * the longest path. They are in force while a server of the app has weight.
   */
  readonly routes: readonly Route[];
  /**
   * Its routes stay without a server too, and are answered 503: it has served, and was stopped on
   * purpose. One that never has must not be given anybody's requests.
   */
  readonly keepsRoutes?: boolean;
  /** Who may use it; everybody when it is left out. */
  readonly access?: Access;
  /** Where clients are sent that ask in another way than they should. */
  readonly redirect?: Redirect;
  /** What HAProxy's own check asks and which status it expects; null: it only connects. */
  readonly check: { readonly path: string; readonly status: number } | null;
  readonly servers: readonly DesiredServer[];
  /** Paths that are for the agent alone, which asks the instances itself: answered with 404. */
  readonly refused?: readonly string[];
  /** Its instances may not run twice. Absent: they may. `on` is no change of shape. */
  readonly hold?: DesiredHold;
  /** Its users can be divided: see `DesiredSplit`. Left out: they cannot, and no rule asks for it. */
  readonly split?: DesiredSplit;
  /** Browsers that came with TLS once are told to come without it no more. */
  readonly hsts?: Hsts | undefined;
  /** How long a request waits for a server, ms, and what is answered when there is none. */
  readonly overload?: { readonly queueMs: number; readonly page: string | null };
  /** Its users stay with the server that answered them. Left out: any may answer. */
  readonly sticky?: {
    /** Servers without a weight, whose users may stay all the same. No change of shape. */
    readonly lingering: readonly string[];
  };
  /** Requests of it may be copied, once `mirror` says so; left out: HAProxy could not. */
  readonly shadow?: DesiredShadow;
  /** Default: off, as `MAINTENANCE_DEFAULTS` says. Going on and off is no change of shape. */
  readonly maintenance?: DesiredMaintenance;
}

/** How new requests wait for an app whose instances change hands. */
export interface DesiredHold {
  readonly on: boolean;
  /** Then 503 with Retry-After. */
  readonly withinMs: number;
  /** What comes beside these is answered so at once. */
  readonly requests: number;
}

/**
 * How the users of an app are divided between two releases. That there are rules for it is part of
 * the shape; the share is not, so it moves without a reload.
 */
export interface DesiredSplit {
  /** Who is sent to the candidate before anybody else. */
  readonly preview: PreviewRule | null;
  /** Null: there is no candidate. */
  readonly share: {
    /** Of 10,000 users. */
    readonly ofTenThousand: number;
    /** Servers of the candidate: `r42-d57-web-` and how many. They have no weight of their own. */
    readonly servers: { readonly prefix: string; readonly count: number };
    /** Turns the users round, so that it is not always the same who come first. */
    readonly turn: number;
  } | null;
}

/** A look at the candidate for those who have this header, this cookie, or one of these addresses. */
export interface PreviewRule {
  readonly header?: { readonly name: string; readonly value: string | null };
  readonly cookie?: { readonly name: string; readonly value: string | null };
  readonly ips: readonly string[];
}

/** What a copy of a request has of it. */
export interface DesiredShadow {
  /** Beside those of `SHADOW_HEADERS`, in lower case. */
  readonly headers: readonly string[];
  /** Paths whose requests with a body are copied as well. */
  readonly bodies: readonly string[];
}

/** How an app answers while it is in maintenance: 503, but for who is allowed. */
export interface DesiredMaintenance {
  readonly on: boolean;
  /** Addresses and networks that reach the app all the same. */
  readonly allow: readonly string[];
  /** HTML, at most `MAX_PAGE_BYTES`; null: a plain page of ours. */
  readonly page: string | null;
  readonly retryAfterS: number;
}

/** A certificate, and the names it is shown for. */
export interface DesiredCertificate {
  /** `certificateId(pem)` */
  readonly id: string;
  /** Certificate, chain and key. A secret: it goes into the file and HAProxy, nowhere else. */
  readonly pem: string;
  /** SHA-1 of the certificate itself, as HAProxy tells it: 40 hex digits. */
  readonly fingerprint: string;
  /** No other certificate has one of them. */
  readonly names: readonly string[];
}

/** What is shown to clients that come with TLS. */
export interface DesiredTls {
  readonly certificates: readonly DesiredCertificate[];
  /** What an ACME server is answered: token -> text. */
  readonly challenges: ReadonlyMap<string, string>;
}

export interface DesiredProxy {
  readonly apps: readonly DesiredApp[];
  /** undefined: the agent's frontend takes no TLS. */
  readonly tls?: DesiredTls | undefined;
}

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
   */
  apply(desired: DesiredProxy | (() => DesiredProxy), signal: AbortSignal): Promise<Applied>;
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
