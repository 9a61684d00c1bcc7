import { WAIT_BUCKETS_MS } from '../haproxy/proxy.ts';
import type { Exposition } from './exposition.ts';
import type { AppSnapshot } from './snapshot.ts';

/** What is told of apps, their deployments, and releases that run. Pure. */
export function tellApps(exposition: Exposition, apps: readonly AppSnapshot[]): void {
  ofApps(exposition, apps);
  ofDeployments(exposition, apps);
  ofReleases(exposition, apps);
  ofRequests(exposition, apps);
}

function ofApps(exposition: Exposition, apps: readonly AppSnapshot[]): void {
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

function ofDeployments(exposition: Exposition, apps: readonly AppSnapshot[]): void {
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

function ofReleases(exposition: Exposition, apps: readonly AppSnapshot[]): void {
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

function ofRequests(exposition: Exposition, apps: readonly AppSnapshot[]): void {
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
