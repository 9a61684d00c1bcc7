import type { Settings } from '../daemon/settings.ts';
import type { Host } from '../pipeline/host.ts';
import type { Deploys } from '../pipeline/wishes/deploys.ts';

/** What the routes need to know about the daemon itself. */
export interface Daemon {
  readonly host: Host;
  readonly deploys: Deploys;
  readonly version: string;
  /** `agent.yaml` as it is in force. */
  readonly settings: Settings;
  /** Ends the streams that clients follow. */
  readonly signal: AbortSignal;
}
