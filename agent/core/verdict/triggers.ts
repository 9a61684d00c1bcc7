import type { Action, Verdict, Window } from './verdict.ts';

/** What a metric may be. */
export interface Bounds {
  readonly max?: number | undefined;
  readonly min?: number | undefined;
}

/** Whether a look at a metric is a bad one. */
export function isOutside(value: number, { max, min }: Bounds): boolean {
  return (max !== undefined && value > max) || (min !== undefined && value < min);
}

/**
 * Judges a metric by its last looks. It fails only when so many in a row are bad: one may be the
 * moment of the switch itself.
 * @param values newest last; null where it could not be measured
 */
export function judgeMetric(
  name: string,
  values: ReadonlyArray<number | null>,
  bounds: Bounds & { readonly looks: number },
  window: Window,
  onFail: Action,
): Verdict {
  const last = values.at(-1) ?? null;
  const inARow =
    values.length - 1 - values.findLastIndex((v) => v === null || !isOutside(v, bounds));
  const failed = inARow >= bounds.looks;
  const outcome = last === null ? 'inconclusive' : failed ? 'fail' : 'pass';
  const limit = last !== null && bounds.min !== undefined && last < bounds.min ? 'min' : 'max';
  return {
    gate: 'metric',
    outcome,
    action: failed ? onFail : 'proceed',
    metric: name,
    value: last,
    unit: 'ratio',
    threshold: bounds[limit] ?? bounds.min ?? 0,
    n: values.filter((value) => value !== null).length,
    interval: null,
    window,
    oneOf: 1,
    because: `${inARow} of ${bounds.looks} bad looks in a row`,
  };
}

/** An alert that has begun to fire since the rollout began. */
export function judgeAlert(
  alert: { readonly name: string; readonly says: string; readonly startsAt: number },
  now: number,
  onFail: Action,
): Verdict {
  return {
    gate: 'alert',
    outcome: 'fail',
    action: onFail,
    metric: `alert ${alert.name}`,
    value: 1,
    unit: 'count',
    threshold: 0,
    n: 1,
    interval: null,
    window: { from: alert.startsAt, to: now },
    oneOf: 1,
    because: alert.says,
  };
}
