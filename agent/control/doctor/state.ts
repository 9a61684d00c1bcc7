import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { attention } from '../status.ts';
import { ok } from './finding.ts';

/** Drift between journal, file and running HAProxy, and instances that do not run. */
export async function examineState({ host }: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const findings = await attention(host, signal);
  if (findings.length > 0) return findings;
  const apps = host.journal.apps().length;
  return [
    ok('state', `journal, haproxy.cfg and HAProxy agree on ${apps} app${apps === 1 ? '' : 's'}`),
  ];
}
