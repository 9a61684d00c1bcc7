import type { ResolvedOptions } from './options.ts';
import type { Endpoint } from './runtime.ts';

/** What every part of the room that touches the running HAProxy needs. */
export interface Context {
  readonly options: ResolvedOptions;
  /** The current worker. */
  readonly admin: Endpoint;
  readonly master: Endpoint;
  /** HAProxy's last words, for an error about a start or a reload; `''` when they are not ours. */
  readonly lastWords: () => Promise<string>;
}
