import { binOf } from '../../core/verdict/histogram.ts';
import type { LogLine } from './format.ts';
import { meaningOf } from './meaning.ts';
import type { ReleaseTotal } from './totals.ts';

/** What one server did in one stretch of time. */
export interface SignalTick {
  /** ms, by the daemon's own clock. */
  readonly from: number;
  readonly to: number;
  /** Answered or failed; what was aborted, upgraded or ended elsewhere is not in it. */
  readonly requests: number;
  readonly failed: number;
  readonly aborted: number;
  readonly websockets: number;
  readonly elsewhere: number;
  /** Waits of the answered, bin -> how many; see `core/verdict/histogram.ts`. */
  readonly latency: ReadonlyMap<number, number>;
  /** `500 POST` -> how many. */
  readonly failures: ReadonlyMap<string, number>;
  /** 1: every request was judged; k: one of k. */
  readonly oneOf: number;
}

/** What the log says of some servers of an app. */
export interface AppSignals {
  /**
   * The share of requests without a line, 0 to 1; 1 when the log is not read at all, null when
   * nothing can be said about it yet.
   */
  readonly lost: number | null;
  /** Server name -> what it did, oldest first. */
  readonly servers: ReadonlyMap<string, readonly SignalTick[]>;
}

type Writable = {
  -readonly [Key in keyof SignalTick]: SignalTick[Key] extends ReadonlyMap<infer K, infer V>
    ? Map<K, V>
    : SignalTick[Key];
};

/** Fine for as long as a guard looks back, coarse for as long as anybody asks. */
const FINE_MS = 5_000;
const FINE_FOR_MS = 10 * 60_000;
export const COARSE_MS = 60_000;
const KEPT_MS = 60 * 60_000;
/** Kinds of failures told apart in one tick; methods are the client's choice. */
const MAX_KINDS = 20;

/** What one server did, tick by tick, for the last hour. */
export class ServerBook {
  #ticks: Writable[];
  readonly #total: ReleaseTotal | undefined;
  #compactedAt = 0;

  /**
   * @param known what was seen before, oldest first
   * @param total where what comes is counted as well
   */
  constructor(known: readonly SignalTick[] = [], total?: ReleaseTotal) {
    this.#ticks = known.map(copy);
    this.#total = total;
  }

  /** @param at when it happened by the daemon's clock, ms: lines may come late */
  write(line: LogLine, at: number, oneOf: number): void {
    const tick = this.#tickAt(at);
    tick.oneOf = Math.max(tick.oneOf, oneOf);
    const meaning = meaningOf(line);
    this.#total?.count(meaning, line.waitMs, at, oneOf);
    switch (meaning) {
      case 'answered': {
        tick.requests += 1;
        const bin = binOf(line.waitMs);
        tick.latency.set(bin, (tick.latency.get(bin) ?? 0) + 1);
        return;
      }
      case 'failed': {
        tick.requests += 1;
        tick.failed += 1;
        const kind = `${line.status < 0 ? 'no answer' : line.status} ${line.method}`;
        if (tick.failures.size < MAX_KINDS || tick.failures.has(kind)) {
          tick.failures.set(kind, (tick.failures.get(kind) ?? 0) + 1);
        }
        return;
      }
      case 'aborted':
        tick.aborted += 1;
        return;
      case 'websocket':
        tick.websockets += 1;
        return;
      case 'elsewhere':
        tick.elsewhere += 1;
    }
  }

  /** Oldest first. */
  ticks(): readonly SignalTick[] {
    return this.#ticks;
  }

  /** When the newest tick ends. */
  get last(): number {
    return this.#ticks.at(-1)?.to ?? 0;
  }

  #tickAt(at: number): Writable {
    const newest = this.#ticks.at(-1);
    if (newest !== undefined && at >= newest.from && at < newest.to) return newest;
    const there = this.#ticks.findLast(({ from, to }) => at >= from && at < to);
    if (there !== undefined) return there;
    const tick = emptyTick(Math.floor(at / FINE_MS) * FINE_MS, FINE_MS);
    // Late lines are rare: the list is nearly in order already.
    const after = this.#ticks.findLastIndex(({ from }) => from <= tick.from);
    this.#ticks.splice(after + 1, 0, tick);
    this.#compact(at);
    return tick;
  }

  /** Puts what is old into minutes, and what is too old away. */
  #compact(now: number): void {
    if (now - this.#compactedAt < COARSE_MS) return;
    this.#compactedAt = now;
    this.#ticks = coarsen(this.#ticks, now - FINE_FOR_MS, now - KEPT_MS);
  }
}

/** The ticks since `keptFrom`, those of minutes that end before `fineFrom` added up. */
export function coarsen<Tick extends SignalTick>(
  ticks: readonly Tick[],
  fineFrom: number,
  keptFrom: number,
): (Tick | Writable)[] {
  const coarse: (Tick | Writable)[] = [];
  let into: Writable | null = null;
  for (const tick of ticks) {
    if (tick.to < keptFrom) continue;
    const minute = Math.floor(tick.from / COARSE_MS) * COARSE_MS;
    if (minute + COARSE_MS > fineFrom) {
      coarse.push(tick);
      continue;
    }
    if (into?.from !== minute) {
      into = emptyTick(minute, COARSE_MS);
      coarse.push(into);
    }
    add(into, tick);
  }
  return coarse;
}

function copy(tick: SignalTick): Writable {
  return { ...tick, latency: new Map(tick.latency), failures: new Map(tick.failures) };
}

function emptyTick(from: number, lengthMs: number): Writable {
  return {
    from,
    to: from + lengthMs,
    requests: 0,
    failed: 0,
    aborted: 0,
    websockets: 0,
    elsewhere: 0,
    latency: new Map(),
    failures: new Map(),
    oneOf: 1,
  };
}

function add(into: Writable, tick: SignalTick): void {
  into.requests += tick.requests;
  into.failed += tick.failed;
  into.aborted += tick.aborted;
  into.websockets += tick.websockets;
  into.elsewhere += tick.elsewhere;
  into.oneOf = Math.max(into.oneOf, tick.oneOf);
  for (const [bin, n] of tick.latency) into.latency.set(bin, (into.latency.get(bin) ?? 0) + n);
  for (const [kind, n] of tick.failures)
    into.failures.set(kind, (into.failures.get(kind) ?? 0) + n);
}
