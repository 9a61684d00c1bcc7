import type { Host } from '../pipeline/host.ts';
import type { Finding } from '../protocol/api.ts';
import { recipientOf } from '../protocol/notify.ts';

/** Who was to be told of a deployment and could not be yet. */
export function undelivered({ outbox }: Host): Finding[] {
  const failing = new Map<string, { app: string; to: string; count: number; error: string }>();
  for (const { app, entry, error } of outbox.all()) {
    if (error === null) continue;
    const to = recipientOf(entry);
    const count = (failing.get(`${app} ${to}`)?.count ?? 0) + 1;
    failing.set(`${app} ${to}`, { app, to, count, error });
  }
  return [...failing.values()].map(({ app, to, count, error }) => ({
    level: 'warning',
    code: 'notification_waiting',
    what: `${app}: ${count} message${count === 1 ? '' : 's'} for ${to} cannot be delivered: ${error}`,
    tries: [`zdd-agent env list --app ${app}`, `zdd-agent events --app ${app}`],
  }));
}
