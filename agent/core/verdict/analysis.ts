import type { Evidence, Limits } from './evidence.ts';
import { isHeld } from './judge.ts';
import { judgeRelativeLatency } from './relative-latency.ts';
import type { Verdict } from './verdict.ts';

/** What an analysis has come to: more requests are needed, it may go on, or a person shall look. */
export type Analysis =
  | { readonly says: 'wait' }
  | { readonly says: 'proceed'; readonly verdicts: readonly Verdict[] }
  | { readonly says: 'pause'; readonly why: Verdict; readonly verdicts: readonly Verdict[] };

/**
 * Whether a candidate is known well enough to give it more users: the sequential test has passed, and
 * it is not slower than stable. That is waited for no longer than its warm-up and as long again: where
 * there are few requests, nothing can be said about it.
 */
export function analyse(
  evidence: Evidence,
  limits: Limits,
  verdicts: readonly Verdict[],
  hasPassed: boolean,
): Analysis {
  if (!hasPassed) return { says: 'wait' };
  const held = verdicts.find(isHeld);
  if (held !== undefined) return { says: 'pause', why: held, verdicts };
  const relative = judgeRelativeLatency(evidence, limits);
  const all = [...verdicts, relative];
  if (relative.outcome === 'fail') return { says: 'pause', why: relative, verdicts: all };
  const waits = evidence.now < evidence.since + 2 * limits.warmUpMs;
  return relative.outcome === 'inconclusive' && waits
    ? { says: 'wait' }
    : { says: 'proceed', verdicts: all };
}
