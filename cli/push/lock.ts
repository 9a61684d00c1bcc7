import { setTimeout as pause } from 'node:timers/promises';
import type { AppStatus, DeploymentReply, DeployRequest } from '../../agent/protocol/api.ts';
import { formatDuration } from '../../agent/protocol/duration.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Agent } from '../connect/agent.ts';
import { age } from '../render/amounts.ts';

const LOOK_EVERY_MS = 500;
/** Asking to start makes the agent look into the artifact: not as often. */
const ASK_EVERY_MS = 2_000;

export interface Queue {
  /** How long to wait for a running deployment, ms; undefined: refuse at once. */
  readonly waitMs: number | undefined;
  readonly signal: AbortSignal;
  /** Told who is in the way, each time that changes or time passes. */
  onWait(who: string): void;
}

/** The app as it stands; null when this would be its first deployment. */
export async function lookAtApp(
  agent: Agent,
  app: string,
  signal: AbortSignal,
): Promise<AppStatus | null> {
  try {
    return await agent.app(app, signal);
  } catch (cause) {
    if (cause instanceof ZddError && cause.code === 'ZDD_APP_UNKNOWN') return null;
    throw cause;
  }
}

/** Refuses before anything is sent. @throws ZDD_LOCKED */
export function refuseWhileLocked(
  status: AppStatus | null,
  command: (verb: string) => string,
  now: number,
): void {
  if (status?.lock) {
    throw new ZddError('ZDD_LOCKED', `${status.app} is locked by ${holder(status, now)}`, {
      evidence: status.lock.message === '' ? [] : [['why', status.lock.message]],
      tries: [command('unlock'), command('push --wait')],
    });
  }
  if (!status?.deployment) return;
  throw new ZddError('ZDD_LOCKED', `${status.app} is being deployed by ${holder(status, now)}`, {
    tries: [command(`attach ${status.deployment.id}`), command('push --wait')],
  });
}

/**
 * Starts the deployment; while another one runs, waits for its end and tries again: between looking
 * and starting, somebody else may have been faster.
 * @param app null when only the agent knows which app the artifact is
 * @throws ZDD_LOCKED at once without `waitMs`, else when that has passed
 */
export async function startDeployment(
  agent: Agent,
  request: DeployRequest,
  app: string | null,
  queue: Queue,
): Promise<DeploymentReply> {
  const until = queue.waitMs === undefined ? 0 : Date.now() + queue.waitMs;
  for (;;) {
    if (queue.waitMs !== undefined && app !== null) await untilFree(agent, app, until, queue);
    queue.signal.throwIfAborted();
    try {
      return await agent.deploy(request);
    } catch (cause) {
      if (!(cause instanceof ZddError) || cause.code !== 'ZDD_LOCKED') throw cause;
      if (queue.waitMs === undefined || Date.now() >= until) throw waited(cause, queue.waitMs);
      queue.onWait(cause.message);
    }
    await interruptible(app === null ? ASK_EVERY_MS : LOOK_EVERY_MS, queue.signal);
  }
}

async function untilFree(agent: Agent, app: string, until: number, queue: Queue): Promise<void> {
  for (;;) {
    const status = await lookAtApp(agent, app, queue.signal);
    // With the time over, the agent itself shall say who is in the way.
    if (!(status?.deployment || status?.lock) || Date.now() >= until) return;
    queue.onWait(holder(status, Date.now()));
    await interruptible(LOOK_EVERY_MS, queue.signal);
  }
}

/** `deploy@laptop (#57, baking, 40s ago)` */
function holder({ deployment, lock }: AppStatus, now: number): string {
  if (lock) return `${lock.owner} (${age(now - lock.since)} ago)`;
  if (!deployment) return 'nobody';
  const since = age(now - deployment.startedAt);
  return `${deployment.owner} (#${deployment.id}, ${deployment.phase}, ${since} ago)`;
}

function waited(error: ZddError, waitMs: number | undefined): ZddError {
  if (waitMs === undefined) return error;
  return new ZddError(error.code, error.message, {
    evidence: [...error.evidence, ['waited', formatDuration(waitMs)]],
    ...(error.traffic === undefined ? {} : { traffic: error.traffic }),
    tries: error.tries,
    cause: error,
  });
}

async function interruptible(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}
