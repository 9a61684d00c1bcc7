import { isStableDown } from '../../core/traffic.ts';
import type { Applied } from '../../haproxy/proxy.ts';
import { ZddError } from '../../protocol/errors.ts';
import type { GateReply } from '../../protocol/gate.ts';
import type { Maintenance, MaintenanceSettings } from '../../store/maintenance.ts';
import { configOf, type Host } from '../host.ts';
import { pause } from '../pause.ts';
import { someAnswers } from '../probe.ts';
import { servingSlots } from '../traffic.ts';

/** How often is looked whether a maintenance is to end by itself, ms. */
const LOOK_EVERY_MS = 1_000;
/** How long HAProxy has for a change, ms. */
const APPLY_MS = 30_000;
/** How long visitors go on seeing the page for an app that does not answer yet, as after a boot, ms. */
const ANSWER_MS = 10_000;

/** What `zdd-agent maintenance on` says. */
export interface MaintenanceWish extends MaintenanceSettings {
  readonly owner: string;
  /** How long, ms; null: until it is told off. */
  readonly forMs: number | null;
}

let last: Promise<unknown> = Promise.resolve();

/** On and off at the same time would each undo the other's half. */
function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  const next = last.then(work, work);
  last = next.catch(() => undefined);
  return next;
}

/**
 * Lets HAProxy answer 503 for an app, but for who is allowed. Requests in flight end as they would
 * have; instances, health checks and deployments go on.
 * @throws ZDD_USAGE for an app without traffic, ZDD_HAPROXY_*: everything is as it was
 */
export async function maintenanceOn(
  host: Host,
  app: string,
  { owner, forMs, ...settings }: MaintenanceWish,
): Promise<GateReply> {
  return await oneAtATime(async () => {
    requireTraffic(host, app);
    const now = host.now();
    const before = host.maintenance.find(app);
    const since = before?.on ? before.since : now;
    const until = forMs === null ? null : now + forMs;
    const next: Maintenance = { ...settings, on: true, owner, since, until };
    if (before !== null && isSame(before, next)) {
      return { app, result: 'already_on', reloaded: false };
    }
    const { reloaded } = await change(host, app, before, next);
    return { app, result: 'on', reloaded };
  });
}

/**
 * Visitors reach the app again, once it answers its health check; after `ANSWER_MS` although it does
 * not, as whoever asks for it is obeyed.
 * @throws ZDD_HAPROXY_*: it is still in maintenance
 */
export async function maintenanceOff(
  host: Host,
  app: string,
  owner: string,
  signal: AbortSignal,
): Promise<GateReply> {
  const shut = host.maintenance.find(app)?.on === true;
  const answers = !shut || (await isAnswering(host, app, signal));
  const reply = await letIn(host, app, owner);
  return answers ? reply : { ...reply, answers };
}

async function isAnswering(host: Host, app: string, signal: AbortSignal): Promise<boolean> {
  const state = host.journal.state(app);
  const slots = state.stable === null ? [] : servingSlots(host, state, state.stable);
  // Whom somebody has stopped is not waited for.
  if (slots.length === 0 || isStableDown(state)) return false;
  return await someAnswers(host, slots, ANSWER_MS, signal);
}

async function letIn(
  host: Host,
  app: string,
  owner: string,
  still: () => boolean = () => true,
): Promise<GateReply> {
  return await oneAtATime(async () => {
    const before = host.maintenance.find(app);
    if (before === null || !before.on) return { app, result: 'already_off', reloaded: false };
    if (!still()) return { app, result: 'on', reloaded: false };
    // Page and networks stay in HAProxy: without them it would have to be reloaded.
    const { reloaded } = await change(host, app, before, {
      ...before,
      on: false,
      owner,
      since: host.now(),
      until: null,
    });
    return { app, result: 'off', reloaded };
  });
}

/** Ends each maintenance whose time is over, until the signal. */
export async function endInTime(host: Host, signal: AbortSignal): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    await pause(LOOK_EVERY_MS, signal);
    try {
      for (const app of host.maintenance.overdue()) {
        await isAnswering(host, app, signal);
        // Meanwhile somebody may have prolonged it.
        const still = () => host.maintenance.overdue().includes(app);
        await letIn(host, app, 'its own end (--for)', still);
      }
      told = '';
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== told) host.log.error({ err: error }, 'maintenance cannot be ended yet');
      told = message;
    }
  }
}

/** Written down first: a daemon that is killed here makes HAProxy say so when it starts again. */
async function change(
  host: Host,
  app: string,
  before: Maintenance | null,
  next: Maintenance,
): Promise<Applied> {
  host.maintenance.set(app, next);
  let applied: Applied;
  try {
    applied = await host.traffic.apply(host, AbortSignal.timeout(APPLY_MS), app);
  } catch (error) {
    if (before === null) host.maintenance.remove(app);
    else host.maintenance.set(app, before);
    throw error;
  }
  const { on, owner, message, until } = next;
  host.journal.tell({
    type: 'maintenance_changed',
    app,
    deployment: null,
    on,
    owner,
    message: on ? message : '',
    until,
    reloaded: applied.reloaded,
  });
  return applied;
}

function requireTraffic(host: Host, app: string): void {
  const { stable } = host.journal.state(app);
  if (stable !== null && configOf(host, app, stable).processes['web'] !== undefined) return;
  throw new ZddError('ZDD_USAGE', `${app} takes no traffic on this host`, {
    tries: ['zdd-agent status'],
  });
}

function isSame(before: Maintenance, next: Maintenance): boolean {
  const said = ({ on, message, until, page, allow, retryAfterS }: Maintenance): string =>
    JSON.stringify([on, message, until, page, allow, retryAfterS]);
  return said(before) === said(next);
}
