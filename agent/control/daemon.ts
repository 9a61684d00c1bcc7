import type { Configuration } from '../configuration.ts';
import type { Host } from '../pipeline/host.ts';
import type { Deploys } from '../pipeline/wishes/deploys.ts';

/** What the routes need to know about the daemon itself. */
export interface Daemon {
  readonly host: Host;
  readonly deploys: Deploys;
  readonly version: string;
  /** `agent.yaml` as it is in force: what may change while the daemon runs is another next time. */
  readonly settings: { readonly current: Configuration };
  /** Ends the streams that clients follow. */
  readonly signal: AbortSignal;
}
