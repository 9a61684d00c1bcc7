import type { AppState, Deployment, Ended, Failure, Outcome, Retirement } from './model.ts';

/** What an event makes of a state. `ended` is set by the event that ends a deployment. */
export interface Reduced {
  readonly state: AppState;
  readonly ended: Ended | null;
}

/** The state goes on, or stays as it is. */
export function same(state: AppState): Reduced {
  return { state, ended: null };
}

/** The deployment is over and lets go of its lock. @param retired who leaves because of it */
export function end(
  state: AppState,
  deployment: Deployment,
  outcome: Outcome,
  failure: Failure | null,
  retired: readonly Retirement[],
): Reduced {
  return {
    state: {
      ...state,
      deployment: null,
      retiring: [...state.retiring, ...retired],
      departures: state.departures + 1,
    },
    ended: { deployment, outcome, failure },
  };
}
