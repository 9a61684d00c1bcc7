import type { AppEvent } from './events.ts';
import type { AppState, Deployment, Failure } from './model.ts';
import { commandOf } from './request.ts';

/** What the daemon finds when it starts again in the middle of a deployment. */
export interface Observed {
  /** Instances of the candidate that still run or are being restarted. */
  readonly candidateAlive: boolean;
  /** The artifact is still on disk. */
  readonly artifactThere: boolean;
  /** Known: it runs on without the daemon, or its end is kept. It is never run a second time. */
  readonly releaseCommand: 'known' | 'unknown';
}

/** What becomes of a deployment that was cut by the end of the daemon. */
export type Recovery =
  | { readonly decision: 'nothing' }
  /** Its phase is done again: every effect is idempotent. */
  | { readonly decision: 'finish'; readonly reason: string; readonly event: AppEvent }
  | { readonly decision: 'undo'; readonly reason: string; readonly event: AppEvent };

/**
 * Decides from journal and world whether a cut deployment is finished or undone. Finish wherever
 * repeating is harmless; undo where it is not, or where the candidate did not survive.
 */
export function recover(state: AppState, observed: Observed): Recovery {
  const { deployment } = state;
  if (deployment === null) return { decision: 'nothing' };
  const { phase, id } = deployment;
  const finish = (reason: string): Recovery => ({
    decision: 'finish',
    reason,
    event: { type: 'resumed' },
  });
  const undo = (reason: string): Recovery => ({
    decision: 'undo',
    reason,
    event: {
      type: 'failed',
      deployment: id,
      phase: phase.name,
      failure: interrupted(deployment, reason),
    },
  });
  switch (phase.name) {
    case 'unpacking':
      return observed.artifactThere
        ? finish('unpacking starts afresh')
        : undo('the artifact is gone');
    case 'releasing':
      return observed.releaseCommand === 'known'
        ? finish('the release command ran on meanwhile')
        : undo('the release command was running: nobody knows how far it came');
    case 'clearing':
    case 'holding':
      return finish('the old release goes on making place');
    case 'starting':
      return finish('instances are adopted or started');
    case 'probing':
    case 'smoking':
    case 'admitting':
    case 'shadowing':
    case 'canary':
    case 'rolling':
    case 'switching':
    case 'baking':
    case 'promoting':
      return observed.candidateAlive
        ? finish(`${phase.name} goes on`)
        : undo('the instances of the new release are gone');
    case 'renewing':
      return finish('the workers go on changing');
    case 'closing':
    case 'draining':
    case 'stopping':
      return finish('the stop goes on');
    case 'returning':
    case 'reverting':
      return finish('the way back goes on');
  }
}

function interrupted(deployment: Deployment, reason: string): Failure {
  return {
    code: 'ZDD_INTERRUPTED',
    message: `the agent was stopped in the middle: ${reason}`,
    evidence: [],
    tries: [`zdd-agent ${commandOf(deployment)}`],
  };
}
