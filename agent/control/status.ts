import { stepsOf } from '../core/canary.ts';
import {
  type AppState,
  candidateOf,
  type Deployment,
  type Generation,
  type Retirement,
  standingRelease,
} from '../core/model.ts';
import { tellStep } from '../core/strategy.ts';
import { percentOf } from '../core/traffic.ts';
import { cronStatusOf } from '../pipeline/cron/status.ts';
import { configOf, type Host, type HostSlot } from '../pipeline/host.ts';
import { wantedSlots } from '../pipeline/instances.ts';
import { trafficSlots } from '../pipeline/traffic.ts';
import type { AppStatus, Finding, GenerationStatus } from '../protocol/api.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import { formatDuration } from '../protocol/duration.ts';
import { routesOf, routeText } from '../protocol/routes.ts';
import type { Listen } from '../runner/runner.ts';
import { failedContracts } from './contract-findings.ts';
import { ailingJobs } from './cron-findings.ts';
import { crowdedWorkers, drift } from './haproxy-findings.ts';
import { undelivered } from './outbox-findings.ts';
import { appTls, certificateFindings } from './tls-findings.ts';

/** Everything about one app at a glance. */
export async function appStatus(
  host: Host,
  state: AppState,
  signal: AbortSignal,
): Promise<AppStatus> {
  const { app, stable, stopped, deployment } = state;
  const roles = rolesOf(state);
  const release = standingRelease(state);
  const config = release === null ? null : configOf(host, app, { release, deployment: 0 });
  return {
    app,
    live: stable?.release ?? null,
    since: stopped?.at ?? host.journal.liveSince(app),
    stopped:
      stopped === null ? null : { release: stopped.release, owner: stopped.owner, at: stopped.at },
    scaled: config === null ? [] : scaledProcesses(config, state),
    routes: config === null ? [] : routesOf(config).map(routeText),
    tls: config === null ? null : appTls(host, routesOf(config)),
    deployment:
      deployment === null
        ? null
        : {
            id: deployment.id,
            kind: deployment.kind,
            phase: deployment.phase.name,
            owner: deployment.owner,
            startedAt: deployment.startedAt,
            release: candidateOf(deployment.phase)?.release ?? null,
            ...canaryStatus(deployment),
            ...rollingStatus(deployment),
          },
    generations: await Promise.all(
      roles.map((role) => generationStatus(host, state, role, signal)),
    ),
    cron: cronStatusOf(host, app),
    lock: host.locks.find(app),
    maintenance: maintenanceOf(host, app),
  };
}

function canaryStatus(
  deployment: Deployment,
): Pick<NonNullable<AppStatus['deployment']>, 'canary'> {
  const { phase } = deployment;
  const steps = stepsOf(deployment);
  const step = phase.name === 'canary' ? steps[phase.step] : undefined;
  if (phase.name !== 'canary' || step === undefined) return {};
  return {
    canary: {
      step: phase.step + 1,
      steps: steps.length,
      doing: tellStep(step, formatDuration),
      percent: phase.percent,
      paused: phase.paused?.reason ?? null,
    },
  };
}

function rollingStatus({
  phase,
  policy: { strategy },
  roll,
}: Deployment): Pick<NonNullable<AppStatus['deployment']>, 'rolling'> {
  if (roll === undefined || strategy?.kind !== 'rolling') return {};
  if (phase.name !== 'rolling' && phase.name !== 'returning') return {};
  return {
    rolling: {
      serving: roll.coming.serving,
      of: strategy.to,
      left: roll.staying.serving,
      doing: roll.doing,
      paused: roll.paused?.reason ?? null,
    },
  };
}

function scaledProcesses(
  { processes }: AppConfig,
  { scale }: AppState,
): NonNullable<AppStatus['scaled']> {
  return Object.entries(scale)
    .map(([process, instances]) => ({
      process,
      instances,
      configured: processes[process]?.instances ?? null,
    }))
    .filter(({ instances, configured }) => instances !== configured);
}

function maintenanceOf(host: Host, app: string): AppStatus['maintenance'] {
  const found = host.maintenance.find(app);
  if (found === null || !found.on) return null;
  const { owner, message, since, until, allow, retryAfterS } = found;
  return { owner, message, since, until, allow: [...allow], retryAfterS };
}

interface Role {
  readonly generation: Generation;
  readonly role: GenerationStatus['role'];
  readonly warmUntil: number | null;
  readonly retirement: Retirement | null;
}

function rolesOf(state: AppState): Role[] {
  const { stable, deployment, retiring } = state;
  const roles: Role[] = [];
  if (stable !== null)
    roles.push({ generation: stable, role: 'stable', warmUntil: null, retirement: null });
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  if (candidate !== null) {
    roles.push({ generation: candidate, role: 'candidate', warmUntil: null, retirement: null });
  }
  for (const retirement of retiring) {
    const { generation, phase, warmUntil, good } = retirement;
    const role = phase === 'stopping' ? 'stopping' : good ? 'warm' : 'draining';
    roles.push({ generation, role, warmUntil: role === 'warm' ? warmUntil : null, retirement });
  }
  return roles;
}

async function generationStatus(
  host: Host,
  state: AppState,
  { generation, role, warmUntil, retirement }: Role,
  signal: AbortSignal,
): Promise<GenerationStatus> {
  const { app } = state;
  const servers = trafficSlots(host, app, generation).map(({ name }) => name);
  const connections = await connectionsOf(host, app, servers, signal);
  return {
    release: generation.release,
    deployment: generation.deployment,
    role,
    traffic: servers.length === 0 ? null : percentOf(state, generation),
    warmUntil,
    requests: connections?.requests ?? null,
    websockets: connections?.websockets ?? null,
    streams: connections?.streams ?? null,
    drain: drainOf(retirement, connections?.reachable ?? false),
    instances: host.slots.of(app, generation).map((slot) => instanceStatus(host, slot)),
  };
}

function drainOf(
  retirement: Retirement | null,
  reachable: boolean,
): NonNullable<GenerationStatus['drain']> | null {
  if (retirement === null) return null;
  const { closeFrom, requestsUntil, pacePerSecond } = retirement;
  return { closeFrom, requestsUntil, pacePerSecond, reachableByOldWorker: reachable };
}

interface Counted {
  readonly requests: number;
  readonly websockets: number;
  readonly streams: number;
  readonly reachable: boolean;
}

async function connectionsOf(
  host: Host,
  app: string,
  servers: readonly string[],
  signal: AbortSignal,
): Promise<Counted | null> {
  if (servers.length === 0) return null;
  try {
    const all = await host.proxy.connections(app, servers, signal);
    return {
      requests: all.reduce((sum, { requests }) => sum + requests, 0),
      websockets: all.reduce((sum, { websockets }) => sum + websockets, 0),
      streams: all.reduce((sum, { streams }) => sum + streams, 0),
      reachable: all.some(({ reachableByOldWorker }) => reachableByOldWorker),
    };
  } catch {
    // Unknown is said as unknown; `attention` says why.
    return null;
  }
}

function instanceStatus(host: Host, slot: HostSlot): GenerationStatus['instances'][number] {
  const status = host.runner.status(slot.spec.slot);
  return {
    slot: slot.name,
    process: slot.process,
    state: status.state,
    pid: status.state === 'running' ? status.pid : null,
    restarts: status.state === 'stopped' ? 0 : status.restarts,
    address: addressText(slot.spec.listen),
  };
}

function addressText(listen: Listen): string | null {
  switch (listen.kind) {
    case 'none':
      return null;
    case 'unix':
      return listen.path;
    case 'tcp':
      return `127.0.0.1:${listen.port}`;
  }
}

/** What somebody should look at now, each with the command that mends it. */
export async function attention(host: Host, signal: AbortSignal): Promise<Finding[]> {
  return [
    ...(await drift(host, signal)),
    ...(await crowdedWorkers(host, signal)),
    ...instancesDown(host),
    ...undelivered(host),
    ...ailingJobs(host),
    ...certificateFindings(host),
    ...failedContracts(host),
  ];
}

/** Instances of releases that serve, and do not run. */
export function instancesDown(host: Host): Finding[] {
  const findings: Finding[] = [];
  for (const app of host.journal.apps()) {
    const state = host.journal.state(app);
    const { stable, deployment } = state;
    if (stable === null || deployment?.phase.name === 'stopping') continue;
    for (const slot of wantedSlots(host, state, stable)) {
      const status = host.runner.status(slot.spec.slot);
      if (status.state === 'running') continue;
      findings.push({
        level: 'error',
        code: 'ZDD_INSTANCE_CRASHED',
        what: `${app}: ${slot.process}.${slot.index} of ${stable.release} does not run`,
        tries: [`zdd-agent logs --app ${app} --release ${stable.release}`],
      });
    }
  }
  return findings;
}
