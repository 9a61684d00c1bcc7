import {
  type AppState,
  candidateOf,
  type Ended,
  type Generation,
  type Phase,
  type ReleaseId,
} from '../core/model.ts';
import { trafficMoved } from '../core/way-back.ts';
import { ERRORS, type ErrorBody, type ErrorCode } from '../protocol/errors.ts';
import type { NewEvent, Receipt } from '../protocol/events.ts';
import type { Tally } from './meter.ts';

/** Writes what a deployment leaves behind, from its story and from what HAProxy counted. */
export function composeReceipt(
  before: Generation | null,
  state: AppState,
  ended: Ended,
  story: readonly NewEvent[],
  tally: Tally,
  now: number,
): Receipt {
  const { deployment, outcome, failure } = ended;
  const release = subjectOf(deployment.phase);
  const previous = before?.release ?? null;
  const verdicts = story.findLast((event) => event.type === 'judged')?.verdicts;
  const shadow = story.findLast((event) => event.type === 'shadowed')?.shadow;
  const moves = story.flatMap((event) => (event.type === 'traffic_moved' ? [event.ms] : []));
  return {
    schemaVersion: 1,
    app: state.app,
    deployment: deployment.id,
    kind: deployment.kind,
    release,
    previous,
    outcome,
    owner: deployment.owner,
    source: deployment.source,
    startedAt: deployment.startedAt,
    totalMs: now - deployment.startedAt,
    switchMs: moves[0] ?? null,
    ...tally,
    steps: story.flatMap((event) => (event.type === 'step_done' ? [event.step] : [])),
    ...(deployment.policy.releasedElsewhere === true ? { releasedElsewhere: true } : {}),
    ...(verdicts === undefined ? {} : { verdicts }),
    ...(shadow === undefined ? {} : { shadow }),
    error:
      failure === null
        ? null
        : {
            code: knownCode(failure.code),
            message: failure.message,
            evidence: failure.evidence.map(([label, text]) => [label, text]),
            traffic: describeTraffic(state, ended, tally),
            tries: [...failure.tries],
          },
  };
}

function describeTraffic(state: AppState, { deployment }: Ended, { lost }: Tally): string {
  const serving =
    state.stopped !== null
      ? `${state.stopped.release} stays stopped, HAProxy answers 503`
      : state.stable === null
        ? 'no release serves yet'
        : `100 % on ${state.stable.release}`;
  const stayed = deployment.part?.takesTraffic === false || !trafficMoved(deployment);
  const moved = stayed ? 'untouched' : 'moved back';
  return `${moved}: ${serving}, ${lost} requests lost`;
}

function subjectOf(phase: Phase): ReleaseId | null {
  if (phase.name === 'renewing') return phase.generation.release;
  return 'leaving' in phase ? phase.leaving.release : (candidateOf(phase)?.release ?? null);
}

function knownCode(code: string): ErrorCode {
  return isCode(code) ? code : 'ZDD_BUG';
}

function isCode(code: string): code is ErrorCode & ErrorBody['code'] {
  return Object.hasOwn(ERRORS, code);
}
