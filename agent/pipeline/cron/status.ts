import { nextRun } from '../../protocol/cron.ts';
import type { CronStatus } from '../../protocol/cron-status.ts';
import { configOf, type Host } from '../host.ts';

/** The jobs of the release that serves, for `status`. */
export function cronStatusOf(host: Host, app: string): CronStatus[] {
  const { stable } = host.journal.state(app);
  if (stable === null) return [];
  const now = Date.now();
  return Object.entries(configOf(host, app, stable).cron).map(([job, when]) => {
    const last = host.cron.last(app, job);
    return {
      job,
      schedule: when.schedule,
      zone: when.zone,
      nextAt: nextRun(when, now),
      last:
        last === null
          ? null
          : {
              outcome: last.outcome,
              at: last.dueAt,
              ms:
                last.endedAt === null || last.startedAt === null
                  ? null
                  : last.endedAt - last.startedAt,
              release: last.release,
              detail: last.detail,
            },
    };
  });
}
