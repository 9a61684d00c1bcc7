import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { attention, instancesDown } from '../status.ts';
import { ok } from './finding.ts';
import { examineSockets } from './sockets.ts';

/** Drift between journal, file and running HAProxy, and instances that do not run. */
export async function examineState(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const { host } = daemon;
  // Without its sockets nothing can be compared, and that they are missing is said already.
  if ((await examineSockets(daemon, signal)).length > 0) return instancesDown(host);
  const findings = await attention(host, signal);
  if (findings.length > 0) return findings;
  const apps = host.journal.apps().length;
  return [
    ok('state', `journal, haproxy.cfg and HAProxy agree on ${apps} app${apps === 1 ? '' : 's'}`),
  ];
}
