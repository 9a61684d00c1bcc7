import type { RequestId } from '../../core/events.ts';

/** Who wants something of an app. */
export interface Asker {
  readonly owner: string;
  /** What was done for it is not done again, even by a daemon that has not seen it come. */
  readonly request?: RequestId | undefined;
}

/** As the journal keeps it, with what was done for it. */
export function requestOf({ request }: Asker): { readonly request?: RequestId } {
  return request === undefined ? {} : { request };
}
