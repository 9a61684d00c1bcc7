import type { Failure, Generation, Part, Phase, Policy, Scale } from './model.ts';

/**
 * What a new deployment is about. A rollback to a warm generation names it as it stands; restart,
 * scale and start name the release that serves, or served last.
 */
export type Target =
  | { readonly kind: 'artifact'; readonly artifact: string }
  | { readonly kind: 'release'; readonly release: string }
  | { readonly kind: 'warm'; readonly generation: Generation }
  | { readonly kind: 'restart'; readonly release: string; readonly part?: Part }
  | { readonly kind: 'scale'; readonly release: string; readonly scale: Scale }
  | { readonly kind: 'start'; readonly release: string }
  /** What did not succeed is tried once more, as if it had been pushed again. */
  | { readonly kind: 'retry'; readonly release: string; readonly hasReleaseCommand: boolean }
  /** Nothing shall serve. */
  | { readonly kind: 'stop' };

/** How a client knows its request again, should it have to ask a second time for the answer. */
export type RequestId = string;

/** Everything that can happen to an app. */
export type AppEvent =
  | {
      readonly type: 'requested';
      readonly id: number;
      readonly target: Target;
      readonly owner: string;
      readonly source: string;
      readonly policy: Policy;
      readonly request?: RequestId;
    }
  | {
      readonly type: 'unpacked';
      readonly deployment: number;
      readonly release: string;
      readonly hasReleaseCommand: boolean;
    }
  /** The effect of this phase of this deployment was done. */
  | {
      readonly type: 'done';
      readonly deployment: number;
      readonly phase: Phase['name'];
      /** Of a canary, or a rolling deployment: which step. One that was left meanwhile leads nowhere. */
      readonly step?: number;
    }
  | {
      readonly type: 'failed';
      readonly deployment: number;
      readonly phase: Phase['name'];
      readonly failure: Failure;
    }
  | {
      readonly type: 'told';
      readonly deployment: number;
      readonly verb: 'abort' | 'rollback' | 'promote' | 'pause' | 'resume';
      /** Of `promote`: past all steps and the bake. */
      readonly full?: boolean;
      readonly failure: Failure;
      readonly request?: RequestId;
    }
  /** A gate cannot tell, or says that somebody should look. */
  | {
      readonly type: 'paused';
      readonly deployment: number;
      readonly step: number;
      readonly reason: string;
    }
  /** New numbers for what is started from now on; what runs has them already, or does not run. */
  | { readonly type: 'scaled'; readonly scale: Scale }
  /** The daemon is back, in the middle of a deployment that goes on. */
  | { readonly type: 'resumed' }
  /** The time is over in which its users could stay. */
  | { readonly type: 'lingered'; readonly generation: Generation }
  | { readonly type: 'drained'; readonly generation: Generation }
  | { readonly type: 'stopped'; readonly generation: Generation }
  | { readonly type: 'tidied'; readonly departures: number };
