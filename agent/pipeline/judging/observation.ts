import type { Evidence, Source, Tick } from '../../core/verdict/evidence.ts';
import type { Look } from '../../core/verdict/instances.ts';
import type { AppCounters, ServerCounters, SignalTick } from '../../haproxy/proxy.ts';
import type { Host } from '../host.ts';

/** More than this share of the log missing, and it is no evidence any more. */
const MAX_LOST = 0.01;
/** What a hung candidate is seen by is kept for longer than anybody waits for an answer. */
const LOOKS_KEPT_MS = 15 * 60_000;

/** Whose traffic is watched: names of HAProxy's servers. */
export interface Watched {
  readonly app: string;
  readonly candidate: readonly string[];
  readonly stable: readonly string[];
  /** Since when the candidate takes requests, ms. */
  readonly since: number;
  /** It had no traffic before `since`. */
  readonly isFresh: boolean;
}

/** What HAProxy's counters say of one stretch of time: no latencies, no reasons. */
interface Counted {
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  readonly failed: number;
  readonly saved: number;
}

/**
 * Gathers the evidence about a candidate: the access log, which is held against HAProxy's counters,
 * and those counters themselves, for when the log has gaps.
 */
export class Observation {
  readonly #host: Host;
  readonly #watched: Watched;
  readonly #counted: Counted[] = [];
  readonly #looks: Look[] = [];
  readonly #began: number;
  #base: { readonly counters: AppCounters; readonly at: number } | null = null;
  #begun = 0;
  #settled = 0;

  constructor(host: Host, watched: Watched) {
    this.#host = host;
    this.#watched = watched;
    this.#began = host.now();
  }

  /** Looks at the counters. They start at 0 again after a reload: what they say is added up here. */
  async look(signal: AbortSignal): Promise<void> {
    const { app, candidate } = this.#watched;
    if (candidate.length === 0) return;
    const counters = await this.#host.proxy.counters(app, signal);
    const at = this.#host.now();
    const before = this.#base;
    this.#base = { counters, at };
    if (before === null) return;
    const grown = (of: (server: ServerCounters) => number): number =>
      candidate.reduce((sum, name) => {
        const now = counters.servers.get(name);
        const then = before.counters.servers.get(name);
        if (now === undefined) return sum;
        const reset = then === undefined || now.requests < then.requests;
        return sum + of(now) - (reset ? 0 : of(then));
      }, 0);
    const requests = grown((server) => server.requests);
    const failed = grown((server) => server.responses5xx + server.failed);
    const saved = grown((server) => server.saved);
    if (requests > 0 || failed > 0) {
      this.#counted.push({ from: before.at, to: at, requests, failed, saved });
    }
    if (counters.worker !== before.counters.worker) {
      // What was in flight at a reload is answered by the old worker: nobody counts it here.
      this.#looks.length = 0;
      this.#begun = 0;
      this.#settled = 0;
      return;
    }
    this.#begun += requests;
    this.#settled += grown((server) => server.settled);
    const current = candidate.reduce(
      (sum, name) => sum + (counters.servers.get(name)?.current ?? 0),
      0,
    );
    this.#looks.push({ at, begun: this.#begun, answered: this.#settled, current });
    while ((this.#looks[0]?.at ?? at) < at - LOOKS_KEPT_MS) this.#looks.shift();
  }

  /** Oldest first. */
  get looks(): readonly Look[] {
    return this.#looks;
  }

  evidence(now: number): Evidence {
    const { app, stable, since } = this.#watched;
    const source = this.#source();
    const stableSignals = this.#host.proxy.signals(app, stable, since);
    return {
      now,
      since,
      candidate: source.kind === 'log' ? this.#logged() : this.#countedTicks(),
      stable: [...stableSignals.servers.values()].flat(),
      source,
    };
  }

  /** What failed, by status and method, the most frequent first: `12 × 500 POST`. */
  failures(): readonly string[] {
    const kinds = new Map<string, number>();
    for (const { failures } of this.#log()) {
      for (const [kind, n] of failures) kinds.set(kind, (kinds.get(kind) ?? 0) + n);
    }
    return [...kinds].sort(([, a], [, b]) => b - a).map(([kind, n]) => `${n} × ${kind}`);
  }

  #source(): Source {
    const { app, since } = this.#watched;
    const { lost } = this.#host.proxy.signals(app, [], Math.max(since, this.#began));
    if (lost === null || lost <= MAX_LOST) return { kind: 'log' };
    const share = lost >= 0.9995 ? 'the access log does not arrive' : null;
    return {
      kind: 'counters',
      why: share ?? `${(100 * lost).toFixed(1)} % of the access log is missing`,
    };
  }

  #log(): readonly SignalTick[] {
    const { app, candidate, since, isFresh } = this.#watched;
    const { servers } = this.#host.proxy.signals(app, candidate, since);
    // A tick that began before has requests of the time when it served last, if it did.
    return [...servers.values()]
      .flat()
      .filter(({ from, to }) => (isFresh ? to > since : from >= since));
  }

  /** What a retry on another server has saved is in no line of the server that failed it. */
  #logged(): readonly Tick[] {
    const saved = this.#counted
      .filter((counted) => counted.saved > 0)
      .map(({ from, to, saved: n }) => tick(from, to, n, n));
    return [...this.#log(), ...saved];
  }

  #countedTicks(): readonly Tick[] {
    return this.#counted.map(({ from, to, requests, failed }) =>
      // A request in flight at the look before may fail in this one.
      tick(from, to, Math.max(requests, failed), failed),
    );
  }
}

function tick(from: number, to: number, requests: number, failed: number): Tick {
  return { from, to, requests, failed, latency: new Map(), oneOf: 1 };
}
