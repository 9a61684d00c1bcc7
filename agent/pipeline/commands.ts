import type { AppState } from '../core/model.ts';
import type { Host } from './host.ts';
import { releaseCommandOf } from './release.ts';
import { contractCommandsOf } from './wishes/contract.ts';

/**
 * Commands of an app that run once and must come to their end, even if nobody waits for them yet: the
 * daemon that began them may have gone.
 */
export function commandsUnderWay(host: Host, state: AppState): ReadonlySet<string> {
  const release = releaseCommandOf(state);
  return new Set([...(release === null ? [] : [release]), ...contractCommandsOf(host, state.app)]);
}
