import { type Configuration, readConfiguration } from '../configuration.ts';
import type { Host } from '../pipeline/host.ts';
import type { NewEvent } from '../protocol/events.ts';
import { type Changes, changes, type Settings } from './settings.ts';

/** What stands in HAProxy's own file. */
const IN_HAPROXY = ['haproxy.bind', 'haproxy.bind_tls', 'haproxy.http3'];
/** How long HAProxy has to take new binds over, ms. */
const APPLY_MS = 30_000;

/**
 * Reads `agent.yaml` again and puts into force what can change while the daemon runs. With any
 * error everything stays as it was. Told in log and events either way.
 * @returns whether what the file says is in force now, but for what needs a restart
 */
export async function reloadConfiguration(
  host: Host,
  settings: Settings,
  file: string,
  signal: AbortSignal,
): Promise<boolean> {
  let found: Changes = { live: [], needsRestart: [] };
  let error: string | null = null;
  try {
    const next = readConfiguration(file);
    found = changes(settings.current, next);
    await enforce(host, settings, next, found, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    error = thrown instanceof Error ? thrown.message : String(thrown);
    host.log.error({ err: thrown }, 'agent.yaml was not taken over');
  }
  tell(host, {
    type: 'configuration_reloaded',
    app: '',
    deployment: null,
    changed: error === null ? [...found.live] : [],
    needsRestart: error === null ? [...found.needsRestart] : [],
    error,
  });
  return error === null;
}

async function enforce(
  host: Host,
  settings: Settings,
  next: Configuration,
  { live }: Changes,
  signal: AbortSignal,
): Promise<void> {
  const back = settings.replace(next);
  try {
    if (IN_HAPROXY.some((key) => live.includes(key))) {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(APPLY_MS)]);
      await host.traffic.apply(host, bounded);
    }
    host.log.level = settings.current.logLevel;
  } catch (error) {
    // What HAProxy was told has been taken back by the apply itself.
    back();
    throw error;
  }
}

/** A full disk keeps the event out of the journal, not the configuration out of force. */
function tell(host: Host, event: NewEvent): void {
  try {
    host.journal.tell(event);
  } catch (error) {
    host.log.error({ err: error }, 'event cannot be journaled');
  }
}
