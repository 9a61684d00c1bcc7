import type { Failure, Generation, Phase, Policy } from './model.ts';

/** What a new deployment is about. A rollback to a warm generation names it as it stands. */
export type Target =
  | { readonly kind: 'artifact'; readonly artifact: string }
  | { readonly kind: 'release'; readonly release: string }
  | { readonly kind: 'warm'; readonly generation: Generation };

/** Everything that can happen to an app. */
export type AppEvent =
  | {
      readonly type: 'requested';
      readonly id: number;
      readonly target: Target;
      readonly owner: string;
      readonly source: string;
      readonly policy: Policy;
    }
  | {
      readonly type: 'unpacked';
      readonly deployment: number;
      readonly release: string;
      readonly hasReleaseCommand: boolean;
    }
  /** The effect of this phase of this deployment was done. */
  | { readonly type: 'done'; readonly deployment: number; readonly phase: Phase['name'] }
  | {
      readonly type: 'failed';
      readonly deployment: number;
      readonly phase: Phase['name'];
      readonly failure: Failure;
    }
  | {
      readonly type: 'told';
      readonly verb: 'abort' | 'rollback' | 'promote';
      readonly failure: Failure;
    }
  /** The daemon is back, in the middle of a deployment that goes on. */
  | { readonly type: 'resumed' }
  | { readonly type: 'drained'; readonly generation: Generation }
  | { readonly type: 'stopped'; readonly generation: Generation }
  | { readonly type: 'tidied'; readonly departures: number };
