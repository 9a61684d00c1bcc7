import { attribute } from './attribution.ts';
import type { Evidence, Limits } from './evidence.ts';
import { judgeErrorRate, judgeLatency } from './guard.ts';
import { judgeSequentially } from './sequential.ts';
import type { GateOutcome, Verdict } from './verdict.ts';

/**
 * Judges the traffic of a candidate: both guards and the sequential test, each held against stable
 * before the release is blamed.
 * @param settled what the sequential test has said already; it decides once
 */
export function judgeTraffic(
  evidence: Evidence,
  limits: Limits,
  settled: Verdict | null,
): readonly Verdict[] {
  const { source } = evidence;
  const note = (verdict: Verdict): Verdict =>
    source.kind === 'log' || verdict.because.startsWith(source.why)
      ? verdict
      : { ...verdict, because: `${said(verdict)}by HAProxy's counters: ${source.why}` };
  const said = ({ because }: Verdict): string => (because === '' ? '' : `${because}; `);
  return [
    attribute(judgeErrorRate(evidence, limits), evidence, limits),
    attribute(judgeLatency(evidence, limits), evidence, limits),
    settled ?? attribute(judgeSequentially(evidence, limits), evidence, limits),
  ].map((verdict) => (verdict === settled ? verdict : note(verdict)));
}

/** Whether the sequential test has come to its end. */
export function isSettled(verdict: Verdict): boolean {
  return verdict.gate === 'sequential' && verdict.outcome === 'pass';
}

/** The verdict that something must be done about: what is undone outranks what is asked about. */
export function failing(verdicts: readonly Verdict[]): Verdict | null {
  const failed = verdicts.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
  return (
    failed.find(({ action }) => action === 'rollback') ??
    failed.find(({ action }) => action === 'pause') ??
    null
  );
}

/** Whether a verdict says that stable has the same trouble: somebody should look, at both. */
export function isHeld(verdict: Verdict): boolean {
  return verdict.held === true;
}

/** What all of them come to: one that fails decides, then one that knows anything at all. */
export function overall(verdicts: readonly Verdict[]): GateOutcome {
  const has = (outcome: GateOutcome): boolean =>
    verdicts.some((verdict) => verdict.outcome === outcome);
  if (has('fail')) return 'fail';
  if (has('error')) return 'error';
  return has('pass') && !verdicts.some(isHeld) ? 'pass' : 'inconclusive';
}
