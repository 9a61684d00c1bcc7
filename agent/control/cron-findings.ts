import { cronStatusOf } from '../pipeline/cron/status.ts';
import type { Host } from '../pipeline/host.ts';
import type { Finding } from '../protocol/api.ts';

/** Jobs whose last run failed, or did not begin although it was due. */
export function ailingJobs(host: Host): Finding[] {
  return host.journal.apps().flatMap((app) =>
    cronStatusOf(host, app).flatMap(({ job, last }): Finding[] => {
      if (last === null || (last.outcome !== 'failed' && last.outcome !== 'missed')) return [];
      const due = new Date(last.at).toISOString().replace('.000Z', 'Z');
      return [
        {
          level: 'warning',
          code: `job_${last.outcome}`,
          what: `${app}: the job ${job}, due ${due}, ${last.outcome === 'failed' ? 'failed' : 'was missed'}: ${last.detail}`,
          tries: [`zdd-agent logs --app ${app}`, `zdd-agent events --app ${app}`],
        },
      ];
    }),
  );
}
