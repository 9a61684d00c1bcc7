import { type Histogram, merge, slowerThan } from './histogram.ts';
import type { Actions, Window } from './verdict.ts';

/** What was seen of one release in one stretch of time. Client aborts and refusals are not in it. */
export interface Tick extends Window {
  /** Requests a server of the release was to answer, judged ones only. */
  readonly requests: number;
  /** Of these, those it failed: 5xx, refused, reset, cut, timed out. */
  readonly failed: number;
  /** Latencies of the others, from HAProxy's having the request to the answer's first byte. */
  readonly latency: Histogram;
  /** 1: every request was judged; k: one of k. */
  readonly oneOf: number;
}

/** Where the numbers come from. */
export type Source =
  | { readonly kind: 'log' }
  /** HAProxy's own counters: no latencies, no reasons. */
  | { readonly kind: 'counters'; readonly why: string };

/** Everything a gate may look at. Time is data. */
export interface Evidence {
  readonly now: number;
  /** Since when the candidate takes requests. */
  readonly since: number;
  readonly candidate: readonly Tick[];
  /** The release before, from some time before `since` on. */
  readonly stable: readonly Tick[];
  readonly source: Source;
}

/** What the gates hold a candidate to. Durations in ms, rates from 0 to 1. */
export interface Limits {
  readonly errorRate: number;
  readonly errorForMs: number;
  readonly p99Ms: number;
  readonly p99ForMs: number;
  /** No verdict of a guard below this many requests and this many bad ones. */
  readonly minRequests: number;
  readonly minErrors: number;
  /** At the start of a candidate its latency is not compared with stable's. */
  readonly warmUpMs: number;
  readonly actions: Actions;
}

/** Ticks added up. */
export interface Totals {
  readonly n: number;
  readonly failed: number;
  /** Answered, but slower than the limit. */
  readonly slow: number;
  readonly latency: Histogram;
  readonly oneOf: number;
}

/** Adds up what was seen in a window, ticks on its borders included. */
export function totals(ticks: readonly Tick[], window: Window, slowMs: number): Totals {
  const inside = ticks.filter(({ from, to }) => to > window.from && from < window.to);
  const latency = merge(inside.map((tick) => tick.latency));
  return {
    n: sum(inside, ({ requests }) => requests),
    failed: sum(inside, ({ failed }) => failed),
    slow: slowerThan(latency, slowMs),
    latency,
    oneOf: Math.max(1, ...inside.map(({ oneOf }) => oneOf)),
  };
}

function sum(ticks: readonly Tick[], of: (tick: Tick) => number): number {
  return ticks.reduce((total, tick) => total + of(tick), 0);
}
