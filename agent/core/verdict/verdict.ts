/** What a gate found: no objection, an objection, no way to tell yet, no way to measure. */
export type GateOutcome = 'pass' | 'fail' | 'inconclusive' | 'error';

/** What follows from it. `pause`: traffic stays as it is and a person is told. */
export type Action = 'proceed' | 'pause' | 'rollback';

/** What to do for each outcome. */
export type Actions = Readonly<Record<GateOutcome, Action>>;

export const DEFAULT_ACTIONS: Actions = {
  pass: 'proceed',
  fail: 'rollback',
  inconclusive: 'pause',
  error: 'pause',
};

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A stretch of time, ms since the epoch. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** How a value is written: 0.074 as a share is `7.4 %`. */
export type Unit = 'share' | 'count' | 'ratio' | 'ms' | 'z';

export type Gate =
  | 'crashes'
  | 'probes'
  | 'hung'
  | 'error-rate'
  | 'latency'
  | 'sequential'
  | 'relative-latency'
  | 'shadow'
  | 'business'
  | 'metric'
  | 'alert';

/** The judgement of one gate, with everything needed to explain it. */
export interface Verdict {
  readonly gate: Gate;
  readonly outcome: GateOutcome;
  readonly action: Action;
  /** What was measured, in words: `bad requests`. */
  readonly metric: string;
  /** Null when nothing could be measured. */
  readonly value: number | null;
  readonly unit: Unit;
  readonly threshold: number;
  /** Observations the value rests on. */
  readonly n: number;
  /** Where the true value lies, 95 times of 100. */
  readonly interval: Interval | null;
  /** When the evidence was seen. */
  readonly window: Window;
  /** 1: every request was judged; k: one of k. */
  readonly oneOf: number;
  /** What else decides: the test's own words, or why there is no more to say. */
  readonly because: string;
  /** It would have failed, but stable has the same trouble. */
  readonly held?: true;
}

/** A verdict in one sentence: what, how much, against which limit, from how much, how certain. */
export function tell(verdict: Verdict): string {
  const { outcome, metric, value, unit, threshold, n, interval, because, oneOf } = verdict;
  const measured = value === null ? 'not measured' : write(value, unit);
  const range =
    interval === null
      ? ''
      : `, 95 %: ${write(interval.low, unit)} to ${write(interval.high, unit)}`;
  const sampled = oneOf > 1 ? `, one request of ${oneOf} judged` : '';
  const seconds = Math.round((verdict.window.to - verdict.window.from) / 1_000);
  const facts = `${metric} ${measured} (limit ${write(threshold, unit)}, n = ${n}${range}${sampled}, ${seconds} s)`;
  return `${outcome}: ${facts}${because === '' ? '' : `; ${because}`}`;
}

function write(value: number, unit: Unit): string {
  switch (unit) {
    case 'share':
      return `${trim(100 * value, Math.abs(value) < 0.01 ? 2 : 1)} %`;
    case 'ms':
      return `${Math.round(value)} ms`;
    case 'count':
      return String(value);
    case 'ratio':
      return trim(value, 2);
    case 'z':
      return `z = ${trim(value, 2)}`;
  }
}

function trim(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '∞';
}
