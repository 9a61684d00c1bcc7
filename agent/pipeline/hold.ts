import { atOnce, type Generation, type Policy, type Retirement } from '../core/model.ts';
import { isHeld } from '../core/traffic.ts';
import { formatDuration } from '../protocol/duration.ts';
import { ZddError } from '../protocol/errors.ts';
import { drain } from './drain.ts';
import type { Host, HostSlot, Task } from './host.ts';
import { describeSlots, startSlots, stopSlots } from './instances.ts';
import { pause } from './pause.ts';
import { probe } from './probe.ts';
import { trafficSlots } from './traffic.ts';

const LOOK_EVERY_MS = 200;
/** What a candidate has at least, however long the agent was away, ms. */
const LEAST_MS = 1_000;
/**
 * A third of the time a request may wait is for what runs on the old release, a third for the new one
 * to come up. The last is kept for the way back, so that nobody who waits is lost by a failure.
 */
const THIRDS = { drained: 1 / 3, ready: 2 / 3, back: 1 / 6 };

/**
 * Nothing of the app may run but stable: waits until what was replaced before has ended, and until no
 * old HAProxy worker, that lets nobody wait, can reach stable. Until then stable serves as ever.
 * @throws ZDD_HOLD_TIMEOUT when that never comes, ZDD_HOLD_UNAVAILABLE; nothing has changed
 */
export async function clear(host: Host, task: Task, stable: Generation | null): Promise<string> {
  const { app, signal } = task;
  if (stable !== null) await requireHolding(host, app, signal);
  // The settings of the new release come later: a reload now loses nobody, one that waits would.
  await host.traffic.apply(host, signal, app);
  const requestsMs = host.journal.state(app).deployment?.policy.requestsMs ?? 0;
  const until = host.now() + requestsMs;
  for (;;) {
    const { retiring } = host.journal.state(app);
    const servers = stable === null ? [] : namesOf(trafficSlots(host, app, stable));
    const reachable = await closeOnOldWorkers(host, task, servers);
    if (retiring.length === 0 && !reachable) return 'nothing else of the app runs';
    if (host.now() > until) {
      const what = reachable
        ? 'an HAProxy worker from before the last reload still reaches it'
        : `still draining: ${retiring.map(({ generation }) => generation.release).join(', ')}`;
      throw new ZddError(
        'ZDD_HOLD_TIMEOUT',
        `${app} may not run twice, and has not come to rest within ${formatDuration(requestsMs)}`,
        { evidence: [['why', what]], tries: ['zdd-agent drain status', 'zdd-agent push'] },
      );
    }
    await pause(LOOK_EVERY_MS, signal);
  }
}

/** Who waits in a worker that a reload has made an old one waits for nothing. */
async function requireHolding(host: Host, app: string, signal: AbortSignal): Promise<void> {
  const { switchBy } = await host.proxy.info(signal);
  if (switchBy === 'runtime') return;
  throw new ZddError(
    'ZDD_HOLD_UNAVAILABLE',
    `${app} may not run twice, and this HAProxy cannot let requests wait: the agent may only reload it`,
    { tries: ['zdd-agent doctor'] },
  );
}

/** @returns whether an old worker can still send these servers a request */
async function closeOnOldWorkers(
  host: Host,
  { app, signal, pace }: Task,
  servers: readonly string[],
): Promise<boolean> {
  if (servers.length === 0) return false;
  const connections = await host.proxy.connections(app, servers, signal);
  if (!connections.some(({ reachableByOldWorker }) => reachableByOldWorker)) return false;
  const long = (await host.proxy.openConnections(app, servers, signal)).filter(
    ({ isOld, kind }) => isOld && kind !== 'request',
  );
  const perSecond = host.journal.state(app).deployment?.policy.pacePerSecond ?? 1;
  const count = pace.take(perSecond, long.length, host.now());
  pace.giveBack(count - (await host.proxy.closeConnections(long.slice(0, count), signal)));
  return true;
}

/**
 * New requests wait from here on. What runs on the leaving release ends, its WebSockets are closed at
 * the pace, or faster where that would take too long; then its web instances stop. Workers go on.
 * @throws ZDD_HOLD_TIMEOUT when requests do not end; the leaving release still runs
 */
export async function hold(
  host: Host,
  task: Task,
  leaving: Generation,
  policy: Policy,
  since: number,
): Promise<string> {
  const { holdMs = 0 } = policy;
  const slots = trafficSlots(host, task.app, leaving);
  if (slots.length === 0) return 'takes no traffic';
  await host.traffic.apply(host, task.signal, task.app);
  say(host, task, `new requests wait, for ${formatDuration(holdMs)} at most`);
  const left = Math.max(LEAST_MS, since + partOf(holdMs, 'drained') - host.now());
  const isEmpty = await empty(host, task, await quickly(host, task, leaving, policy, left), left);
  if (!isEmpty) {
    const [one] = await host.proxy.connections(task.app, namesOf(slots), task.signal);
    throw new ZddError(
      'ZDD_HOLD_TIMEOUT',
      `requests ran on ${leaving.release} for ${formatDuration(left)}, while others waited for it to stop`,
      {
        evidence: [['still running', `${one?.requests ?? 0} requests on ${one?.server ?? ''}`]],
        tries: ['set hold.within in zdd.yaml to three times what a request may take'],
      },
    );
  }
  await stopSlots(host, slots, task.signal);
  return `${leaving.release} has stopped (${describeSlots(slots)}), new requests wait`;
}

/**
 * The way back of what may not run twice: the candidate makes place, the previous release starts
 * again. Traffic comes after that.
 */
export async function comeBack(
  host: Host,
  task: Task,
  candidate: Generation,
  previous: Generation | null,
  policy: Policy,
  attempt: number,
): Promise<string> {
  if (attempt > 1) await pause(Math.min(attempt * 250, 5_000), task.signal);
  const { holdMs = 0, probeWithinMs } = policy;
  await host.traffic.apply(host, task.signal, task.app);
  const failed = trafficSlots(host, task.app, candidate);
  const left = Math.max(LEAST_MS, partOf(holdMs, 'back'));
  // What still runs on it then is cut: everybody else waits for it.
  await empty(host, task, await quickly(host, task, candidate, policy, left), left);
  await stopSlots(host, failed, task.signal);
  if (previous === null) return 'nothing to come back to';
  await startSlots(host, trafficSlots(host, task.app, previous), task.signal);
  return `${previous.release} runs again   ${await probe(host, task, previous, probeWithinMs)}`;
}

/**
 * Does what brings up a candidate. While requests wait for it, it has to be done in time: the rest is
 * for the way back.
 * @param work is given how long it has, ms
 * @throws ZDD_HOLD_TIMEOUT
 */
export async function inTime<T>(
  host: Host,
  task: Task,
  work: (task: Task, leftMs: number) => Promise<T>,
): Promise<T> {
  const state = host.journal.state(task.app);
  const { heldSince, policy } = state.deployment ?? {};
  const { holdMs } = policy ?? {};
  if (!isHeld(state) || heldSince === undefined || holdMs === undefined) {
    return await work(task, Number.POSITIVE_INFINITY);
  }
  const leftMs = Math.max(LEAST_MS, heldSince + partOf(holdMs, 'ready') - host.now());
  // A probe that comes to its own end says more.
  const enough = AbortSignal.timeout(leftMs + LEAST_MS);
  try {
    return await work({ ...task, signal: AbortSignal.any([task.signal, enough]) }, leftMs);
  } catch (error) {
    if (!enough.aborted || task.signal.aborted) throw error;
    throw new ZddError(
      'ZDD_HOLD_TIMEOUT',
      `the new release was not ready ${formatDuration(partOf(holdMs, 'ready'))} after requests began to wait for it`,
      { tries: ['set hold.within in zdd.yaml, then: zdd-agent push'], cause: error },
    );
  }
}

/** @returns whether nothing is left */
async function empty(
  host: Host,
  task: Task,
  retirement: Retirement,
  withinMs: number,
): Promise<boolean> {
  const enough = AbortSignal.timeout(withinMs);
  try {
    await drain(host, { ...task, signal: AbortSignal.any([task.signal, enough]) }, retirement);
    return true;
  } catch (error) {
    task.signal.throwIfAborted();
    if (!enough.aborted) throw error;
    return false;
  }
}

/** WebSockets go at once, at a pace that ends them in half of the time there is; requests never. */
async function quickly(
  host: Host,
  task: Task,
  generation: Generation,
  policy: Policy,
  withinMs: number,
): Promise<Retirement> {
  const servers = namesOf(trafficSlots(host, task.app, generation));
  const connections = await host.proxy.connections(task.app, servers, task.signal);
  const long = connections.reduce((sum, one) => sum + one.websockets + one.streams, 0);
  return {
    ...atOnce(generation, policy, host.now()),
    requestsUntil: Number.MAX_SAFE_INTEGER,
    pacePerSecond: Math.max(policy.pacePerSecond, Math.ceil((long * 2_000) / withinMs)),
  };
}

/** In whole ms: a timer takes nothing else. */
function partOf(holdMs: number, part: keyof typeof THIRDS): number {
  return Math.round(holdMs * THIRDS[part]);
}

function namesOf(slots: readonly HostSlot[]): string[] {
  return slots.map(({ name }) => name);
}

function say(host: Host, { app, deployment, tell }: Task, message: string): void {
  const phase = host.journal.state(app).deployment?.phase.name ?? 'holding';
  tell({ type: 'progress', app, deployment, phase, message });
}
