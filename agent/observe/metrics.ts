import { tellApps } from './app-metrics.ts';
import { Exposition } from './exposition.ts';
import type { Snapshot } from './snapshot.ts';

/** The text that Prometheus scrapes. Labels are apps, and releases of them that run. Pure. */
export function metricsText(snapshot: Snapshot): string {
  const exposition = new Exposition();
  ofAgent(exposition, snapshot);
  ofHaproxy(exposition, snapshot);
  ofCertificates(exposition, snapshot);
  tellApps(exposition, snapshot.apps);
  return exposition.toString();
}

function ofAgent(exposition: Exposition, { agent, disk, findings, drift }: Snapshot): void {
  exposition.metric(
    'gauge',
    'zdd_build_info',
    'The agent that answers; always 1.',
  )({ version: agent.version }, 1);
  exposition.metric(
    'gauge',
    'process_start_time_seconds',
    'When the agent started, seconds since the epoch.',
  )({}, agent.startedAt / 1_000);
  exposition.metric(
    'gauge',
    'process_resident_memory_bytes',
    'Memory of the agent, without its apps.',
  )({}, agent.residentBytes);
  exposition.metric(
    'counter',
    'process_cpu_seconds_total',
    'Processor time of the agent, without its apps.',
  )({}, agent.cpuSeconds);
  const free = 'Free bytes where releases lie.';
  exposition.metric('gauge', 'zdd_disk_free_bytes', free)({}, disk?.freeBytes ?? null);
  const reserve = 'Free bytes below which pushes are refused.';
  exposition.metric('gauge', 'zdd_disk_reserve_bytes', reserve)({}, disk?.reserveBytes ?? null);
  const finding = exposition.metric('gauge', 'zdd_findings', 'What status names under attention.');
  for (const level of ['notice', 'warning', 'error']) {
    finding({ level }, findings.filter((each) => each.level === level).length);
  }
  exposition.metric(
    'gauge',
    'zdd_drift_differences',
    'What differs now between the journal, haproxy.cfg and the running HAProxy.',
  )({}, findings.filter(({ code }) => code === 'ZDD_DRIFT').length);
  const found = exposition.metric(
    'counter',
    'zdd_drift_found_total',
    'Differences found since the agent began, repaired or left alone.',
  );
  found({ repaired: 'true' }, drift.repaired);
  found({ repaired: 'false' }, drift.left);
}

function ofHaproxy(exposition: Exposition, { haproxy }: Snapshot): void {
  const up = 'Whether HAProxy answers the agent.';
  exposition.metric('gauge', 'zdd_haproxy_up', up)({}, haproxy === null ? 0 : 1);
  if (haproxy === null) return;
  const { version, switchBy, oldWorkers, maxOldWorkers, reloads } = haproxy;
  exposition.metric(
    'gauge',
    'zdd_haproxy_info',
    'The running HAProxy, and how traffic moves there; always 1.',
  )({ version, switch: switchBy }, 1);
  exposition.metric(
    'counter',
    'zdd_haproxy_reloads_total',
    'Reloads since its master started, by whomever.',
  )({}, reloads);
  exposition.metric(
    'gauge',
    'zdd_haproxy_old_workers',
    'Workers from before a reload that still hold connections.',
  )({}, oldWorkers);
  exposition.metric(
    'gauge',
    'zdd_haproxy_old_workers_limit',
    'As many may stand: haproxy.max_old_workers.',
  )({}, maxOldWorkers);
}

function ofCertificates(exposition: Exposition, { certificates }: Snapshot): void {
  const ends = exposition.metric(
    'gauge',
    'zdd_certificate_not_after_timestamp_seconds',
    'When the certificate that is shown for a name ends.',
  );
  for (const { name, origin, notAfter } of certificates) ends({ name, origin }, notAfter / 1_000);
}
