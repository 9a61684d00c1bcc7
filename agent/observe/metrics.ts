import { type ProxyInfo, type ReleaseTotals, WAIT_BUCKETS_MS } from '../haproxy/proxy.ts';
import type { AppStatus, Finding } from '../protocol/api.ts';
import type { Outcome, Receipt } from '../protocol/events.ts';
import { Exposition } from './exposition.ts';

/** Everything that metrics are made of, at one moment. Times in ms since the epoch. */
export interface Snapshot {
  readonly agent: {
    readonly version: string;
    readonly startedAt: number;
    readonly residentBytes: number;
    readonly cpuSeconds: number;
  };
  /** Null when HAProxy does not answer. */
  readonly haproxy: (ProxyInfo & { readonly maxOldWorkers: number }) | null;
  readonly apps: readonly AppSnapshot[];
  /** What `status` names under attention. */
  readonly findings: readonly Finding[];
  /** Differences from the journal since the agent began. */
  readonly drift: { readonly repaired: number; readonly left: number };
  readonly certificates: ReadonlyArray<{
    readonly name: string;
    readonly origin: string;
    readonly notAfter: number;
  }>;
  /** Where releases lie; null when the file system does not say. */
  readonly disk: { readonly freeBytes: number; readonly reserveBytes: number } | null;
}

/** One app at that moment. */
export interface AppSnapshot {
  readonly status: AppStatus;
  /** Deployments there have been, by their end. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Requests that all of them have lost. */
  readonly lost: number;
  readonly last: Receipt | null;
  /** By release, those that run. */
  readonly totals: ReadonlyMap<string, ReleaseTotals>;
  readonly logLines: { readonly came: number; readonly lost: number };
  /** Requests that wait while its instances change hands. */
  readonly held: number;
  /** Notifications that have not been delivered. */
  readonly waiting: number;
}

/** The text that Prometheus scrapes. Labels are apps, and releases of them that run. Pure. */
export function metricsText(snapshot: Snapshot): string {
  const exposition = new Exposition();
  ofAgent(exposition, snapshot);
  ofHaproxy(exposition, snapshot);
  ofCertificates(exposition, snapshot);
  ofApps(exposition, snapshot);
  ofDeployments(exposition, snapshot);
  ofReleases(exposition, snapshot);
  ofRequests(exposition, snapshot);
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

function ofApps(exposition: Exposition, { apps }: Snapshot): void {
  const gauge = (name: string, help: string) => exposition.metric('gauge', name, help);
  const live = gauge('zdd_stable_release_info', 'The release that serves; always 1.');
  const since = gauge(
    'zdd_app_live_since_timestamp_seconds',
    'Since when that release serves, or the app has been stopped.',
  );
  const stopped = gauge('zdd_app_stopped', 'Whether somebody has stopped the app.');
  const locked = gauge('zdd_app_locked', 'Whether somebody has locked the app.');
  const maintenance = gauge('zdd_app_maintenance', 'Whether the app is in maintenance.');
  const held = gauge('zdd_held_requests', 'Requests that wait while instances change hands.');
  const waiting = gauge('zdd_notifications_waiting', 'Notifications that were not delivered yet.');
  const ran = gauge('zdd_cron_last_run_timestamp_seconds', 'When the last run of a job was due.');
  const failed = gauge('zdd_cron_last_run_failed', 'Whether that run failed or was missed.');
  for (const { status, held: requests, waiting: messages } of apps) {
    const { app } = status;
    if (status.live !== null) live({ app, release: status.live }, 1);
    since({ app }, status.since === null ? null : status.since / 1_000);
    stopped({ app }, Number((status.stopped ?? null) !== null));
    locked({ app }, Number((status.lock ?? null) !== null));
    maintenance({ app }, Number((status.maintenance ?? null) !== null));
    held({ app }, requests);
    waiting({ app }, messages);
    for (const { job, last } of status.cron ?? []) {
      if (last === null) continue;
      ran({ app, job }, last.at / 1_000);
      failed({ app, job }, Number(last.outcome === 'failed' || last.outcome === 'missed'));
    }
  }
}

function ofDeployments(exposition: Exposition, { apps }: Snapshot): void {
  const gauge = (name: string, help: string) => exposition.metric('gauge', name, help);
  const running = gauge('zdd_deployment_running', 'Whether a deployment runs.');
  const phase = gauge('zdd_deployment_phase_info', 'Where the one that runs is; always 1.');
  const started = gauge('zdd_deployment_start_timestamp_seconds', 'When it began.');
  const ended = exposition.metric(
    'counter',
    'zdd_deployments_total',
    'Deployments by their end: deploys, rollbacks, restarts, scalings, starts and stops.',
  );
  const lost = exposition.metric(
    'counter',
    'zdd_deployment_lost_requests_total',
    'Requests that HAProxy had to answer itself while a deployment ran.',
  );
  const took = gauge('zdd_last_deployment_duration_seconds', 'How long the last one took.');
  const at = gauge('zdd_last_deployment_end_timestamp_seconds', 'When the last one ended.');
  for (const { status, outcomes, last, lost: requests } of apps) {
    const { app, deployment } = status;
    running({ app }, Number(deployment !== null));
    if (deployment !== null) {
      phase({ app, phase: deployment.phase, kind: deployment.kind ?? null }, 1);
      started({ app }, deployment.startedAt / 1_000);
    }
    for (const [outcome, count] of Object.entries(outcomes)) ended({ app, outcome }, count);
    lost({ app }, requests);
    if (last === null) continue;
    took({ app }, last.totalMs / 1_000);
    at({ app }, (last.startedAt + last.totalMs) / 1_000);
  }
}

function ofReleases(exposition: Exposition, { apps }: Snapshot): void {
  const gauge = (name: string, help: string) => exposition.metric('gauge', name, help);
  const roles = gauge(
    'zdd_release_generations',
    'Generations of a release that run: stable, candidate, warm, draining or stopping.',
  );
  const traffic = gauge('zdd_release_traffic_ratio', 'Its share of new requests, 0 to 1.');
  const instances = gauge('zdd_release_instances', 'Its instances by their state.');
  const restarts = exposition.metric(
    'counter',
    'zdd_release_instance_restarts_total',
    'Times its running instances were started again after they had ended.',
  );
  const connections = gauge(
    'zdd_release_connections',
    'What it answers now: requests, WebSockets, streams (SSE and gRPC).',
  );
  const warm = gauge(
    'zdd_release_warm_until_timestamp_seconds',
    'Until when going back to it takes milliseconds.',
  );
  for (const { status } of apps) {
    const { app } = status;
    const warmUntil = new Map<string, number>();
    for (const { release, role, instances: slots, ...generation } of status.generations) {
      roles({ app, release, role }, 1);
      const share = generation.traffic;
      traffic({ app, release }, share === null ? null : share / 100);
      for (const { process, state, restarts: times } of slots) {
        // All states of it, so that none goes missing when it is left.
        for (const each of ['running', 'backing_off', 'stopped']) {
          instances({ app, release, process, state: each }, Number(state === each));
        }
        restarts({ app, release, process }, times);
      }
      connections({ app, release, kind: 'request' }, generation.requests);
      connections({ app, release, kind: 'websocket' }, generation.websockets);
      connections({ app, release, kind: 'stream' }, generation.streams ?? null);
      const until = Math.max(generation.warmUntil ?? 0, warmUntil.get(release) ?? 0);
      if (until > 0) warmUntil.set(release, until);
    }
    for (const [release, until] of warmUntil) warm({ app, release }, until / 1_000);
  }
}

function ofRequests(exposition: Exposition, { apps }: Snapshot): void {
  const requests = exposition.metric(
    'counter',
    'zdd_requests_total',
    'Requests by what became of them at the release: answered (below 500), failed (5xx, refused, broken off, too late), aborted (by the client), websocket (upgraded).',
  );
  const waits = exposition.histogram(
    'zdd_response_wait_seconds',
    'From HAProxy having the request to the first byte of the answer; answered requests.',
  );
  const lines = exposition.metric(
    'counter',
    'zdd_access_log_lines_total',
    'Lines of the access log that came to the agent.',
  );
  const missing = exposition.metric(
    'counter',
    'zdd_access_log_lost_lines_total',
    'Lines of the access log that did not come, by the requests that HAProxy counts.',
  );
  for (const { status, totals, logLines } of apps) {
    const { app } = status;
    for (const [release, total] of totals) {
      requests({ app, release, result: 'answered' }, total.answered);
      requests({ app, release, result: 'failed' }, total.failed);
      requests({ app, release, result: 'aborted' }, total.aborted);
      requests({ app, release, result: 'websocket' }, total.websockets);
      waits(
        { app, release },
        {
          bounds: WAIT_BUCKETS_MS.map((ms) => ms / 1_000),
          counts: total.waits,
          sum: total.waitMs / 1_000,
        },
      );
    }
    lines({ app }, logLines.came);
    missing({ app }, logLines.lost);
  }
}
