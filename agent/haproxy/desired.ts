/** How traffic shall be: what the rest of the daemon asks of HAProxy, whatever runs there now. */

import type { Access, Redirect } from '../protocol/access.ts';
import type { Route } from '../protocol/routes.ts';

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
