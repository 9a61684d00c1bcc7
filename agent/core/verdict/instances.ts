import type { Action, Verdict, Window } from './verdict.ts';

/** A look at HAProxy's counters for the servers of the candidate together. */
export interface Look {
  readonly at: number;
  /** Requests sent to them so far. */
  readonly begun: number;
  /** How many of those have got an answer, an upgrade too, or have failed or been given up. */
  readonly answered: number;
  /** In flight now, upgraded connections included: a bound for what the counters say. */
  readonly current: number;
}

/** An instance that ended by itself. */
export function judgeCrashes(crashes: number, window: Window, onFail: Action): Verdict {
  return counted('crashes', 'instances that ended by themselves', crashes, 0, window, onFail);
}

/** Failed probes in a row. @param threshold as many fail */
export function judgeProbes(
  inARow: number,
  threshold: number,
  window: Window,
  onFail: Action,
): Verdict {
  return counted('probes', 'failed probes in a row', inARow, threshold - 1, window, onFail);
}

/**
 * A candidate that takes requests and answers none: seen before they time out. The number of those
 * begun at least `hungMs` ago, when nothing was answered since.
 * @param looks oldest first
 */
export function judgeHung(
  looks: readonly Look[],
  hungMs: number,
  minErrors: number,
  onFail: Action,
): Verdict {
  const last = looks.at(-1);
  const then = last === undefined ? undefined : looks.findLast(({ at }) => at <= last.at - hungMs);
  const window = { from: then?.at ?? looks[0]?.at ?? 0, to: last?.at ?? 0 };
  const silent = last !== undefined && then !== undefined && last.answered === then.answered;
  const waiting = silent
    ? Math.max(0, Math.min(then.begun - last.answered, then.current, last.current))
    : 0;
  const metric = `requests unanswered for ${Math.round(hungMs / 1_000)} s, none answered since`;
  return counted('hung', metric, waiting, minErrors - 1, window, onFail);
}

function counted(
  gate: 'crashes' | 'probes' | 'hung',
  metric: string,
  value: number,
  most: number,
  window: Window,
  onFail: Action,
): Verdict {
  const outcome = value > most ? 'fail' : 'pass';
  return {
    gate,
    outcome,
    action: outcome === 'fail' ? onFail : 'proceed',
    metric,
    value,
    unit: 'count',
    threshold: most,
    n: value,
    interval: null,
    window,
    oneOf: 1,
    because: '',
  };
}
