import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import { capabilitiesOf } from './capabilities.ts';
import { serverOptions } from './config/backend.ts';
import { changeText, type RouteChange, type RouteMaps, routeChanges } from './config/maps.ts';
import { addressText, backendOf } from './config/names.ts';
import type { Context } from './context.ts';
import type { Move, Plan, Target } from './converge.ts';
import type { DesiredProxy } from './desired.ts';
import { effectiveWeight, observeBackends, type Running, serverOf } from './observe.ts';
import { CommandRefused } from './refusal.ts';
import { changeRoutes, observeRoutes } from './routes.ts';
import type { Conversation } from './runtime.ts';
import { onWorker, WorkerChanged } from './worker.ts';

const POLL_MS = 10;
/** How long servers that are to go are waited for in all, where HAProxy can wait, ms. */
const REMOVABLE_MS = 500;

/**
 * Brings servers in at weight 0 and waits until HAProxy's own check has passed on each of
 * `confirm`. An added server is checked while it is still in maintenance, and enabled after.
 * @throws ZDD_HAPROXY_SERVER_DOWN with the last check of the first that did not pass
 */
export async function admit(
  context: Context,
  plan: Plan,
  confirm: readonly Target[],
  desired: DesiredProxy,
  chroot: string | undefined,
  present: Running,
  signal: AbortSignal,
): Promise<Running> {
  if (plan.add.length + plan.revive.length + confirm.length === 0) return present;
  const { pid } = present;
  const places = placesOf(desired, chroot);
  const recheck = await onWorker(context, pid, signal, async (conversation) => {
    const running = await observeBackends(conversation, backendsIn(confirm));
    for (const target of plan.add) await addServer(conversation, target, places);
    for (const target of plan.revive) {
      await conversation.order(`set server ${path(target)} weight 0`);
      await conversation.order(`set server ${path(target)} state ready`);
    }
    const again: Target[] = [];
    for (const target of confirm) {
      if (!places.has(path(target)) || !unchecked(running, target)) continue;
      // A server from the file has its first check anywhere within 2 s, a new one within 0.1 s.
      if (await removeServer(conversation, target)) {
        await addServer(conversation, target, places);
        again.push(target);
      } else await conversation.order(`set server ${path(target)} state ready`);
    }
    return again;
  });
  await confirmed(context, confirm, pid, signal);
  return onWorker(context, pid, signal, async (conversation) => {
    for (const target of [...plan.add, ...plan.revive, ...recheck]) {
      await conversation.order(`set server ${path(target)} state ready`);
      // It starts at 1 of 3 and one slow check would take it down; it has just passed one.
      await conversation.order(`set server ${path(target)} health up`);
    }
    const changed = backendsIn([...plan.add, ...plan.revive, ...confirm]);
    const { backends } = await observeBackends(conversation, changed);
    return { ...present, backends: new Map([...present.backends, ...backends]) };
  });
}

/** Routes to bring about, and the folder of the maps that hold them. */
export interface RouteWish {
  readonly folder: string;
  readonly maps: RouteMaps;
}

/**
 * All weights of a plan on one connection: those that gain, a look that every backend has a server
 * that can take over, then the routes, then those that lose, a look that it is so. So a route comes to
 * an app when it can serve, and leaves one before it cannot.
 * @returns from the first command to the confirmation, ms; 0 when there was nothing to move
 * @throws ZDD_HAPROXY_SERVER_DOWN, ZDD_HAPROXY_COMMAND: nothing has moved unless `onMove` was called
 */
export async function moveTraffic(
  context: Context,
  plan: Plan,
  routes: RouteWish | undefined,
  pid: number,
  onMove: () => void,
  signal: AbortSignal,
): Promise<number> {
  const { raise, lower } = plan;
  const touched = new Set([...raise, ...lower].map(({ backend }) => backend));
  if (raise.length + lower.length === 0 && routes === undefined) return 0;
  return onWorker(context, pid, signal, async (conversation) => {
    const changes = await changesOf(conversation, routes);
    if (raise.length + lower.length + changes.length === 0) return 0;
    const started = performance.now();
    const done: Move[] = [];
    try {
      for (const move of raise) {
        done.push(move);
        await setWeight(conversation, move, move.to);
      }
      if (lower.length > 0) {
        requireSuccessor(context, await observeBackends(conversation, touched), raise, lower);
      }
    } catch (error) {
      for (const move of done) await setWeight(conversation, move, move.from);
      throw error;
    }
    onMove();
    // A share that ends with the switch ends last, or its users would be sent back for a moment; so
    // does a stay, or its user would be sent to another server that is about to lose its weight.
    const isLast = ({ map, to }: RouteChange): boolean =>
      (map === 'shares' || map === 'stays') && to === undefined;
    const change = async (some: readonly RouteChange[]): Promise<void> => {
      if (routes !== undefined) await changeRoutes(conversation, routes.folder, some);
    };
    await change(changes.filter((each) => !isLast(each)));
    for (const move of lower) await setWeight(conversation, move, move.to);
    await change(changes.filter(isLast));
    const running = await observeBackends(conversation, touched);
    await callQueue(conversation, running, raise);
    for (const move of [...raise, ...lower]) {
      const weight = serverOf(running, move.backend, move.server)?.weight;
      if (weight !== move.to) {
        throw new ZddError('ZDD_HAPROXY_COMMAND', 'HAProxy did not keep a weight.', {
          evidence: [[path(move), `${weight}, wanted ${move.to}`]],
        });
      }
    }
    const left = await changesOf(conversation, routes);
    const [first] = left;
    if (first !== undefined) {
      throw new ZddError('ZDD_HAPROXY_COMMAND', 'HAProxy did not keep a route.', {
        evidence: [['route', changeText(first)]],
      });
    }
    return performance.now() - started;
  });
}

/**
 * A server takes the next request from its backend's queue when it has answered one, or when it comes
 * up; not when it gains weight. So a full queue would wait for the ones that have none any more, in vain.
 * To be told its limit again makes a server look.
 */
async function callQueue(
  { order }: Conversation,
  running: Pick<Running, 'backends'>,
  raise: readonly Move[],
): Promise<void> {
  for (const move of raise) {
    const { limit = 0 } = serverOf(running, move.backend, move.server) ?? {};
    if (limit > 0) await order(`set maxconn server ${path(move)} ${limit}`);
  }
}

/** What is still to be done for a wish. */
async function changesOf(
  conversation: Conversation,
  routes: RouteWish | undefined,
): Promise<readonly RouteChange[]> {
  if (routes === undefined) return [];
  const running = await observeRoutes(conversation, routes.folder);
  // The region that was loaded routes by maps; without them it is not the one that was wanted.
  if (running === undefined) throw new WorkerChanged();
  return routeChanges(running, routes.maps);
}

/** Takes servers out: into maintenance those that leave, away those that nobody wants. */
export async function retire(
  context: Context,
  plan: Plan,
  { pid, version }: Running,
  signal: AbortSignal,
): Promise<void> {
  const can = capabilitiesOf(version);
  if (plan.maintain.length + plan.remove.length === 0) return;
  await onWorker(context, pid, signal, async (conversation) => {
    for (const target of plan.maintain) {
      await conversation.order(`set server ${path(target)} state maint`);
    }
    // One that still has connections stays in maintenance; the next apply tries again.
    let patienceMs = REMOVABLE_MS;
    for (const target of plan.remove) {
      if (await removeServer(conversation, target)) continue;
      if (patienceMs <= 0 || !can.has('wait_removable')) continue;
      const started = performance.now();
      await conversation.ask(`wait ${Math.ceil(patienceMs)}ms srv-removable ${path(target)}`);
      patienceMs -= performance.now() - started;
      await removeServer(conversation, target);
    }
  });
}

/** Removes the servers that `now` has and `before` had not, and restores weights of the others. */
export async function takeBack(
  context: Context,
  before: Running,
  now: Running,
  signal: AbortSignal,
): Promise<void> {
  await onWorker(context, now.pid, signal, async (conversation) => {
    for (const [backend, servers] of before.backends) {
      for (const server of now.backends.get(backend)?.values() ?? []) {
        const target = { backend, server: server.name };
        const was = servers.get(server.name);
        if (was === undefined) await removeServer(conversation, target);
        else if (was.admin !== server.admin && was.admin !== 'ready') {
          await conversation.order(`set server ${path(target)} state ${was.admin}`);
        }
      }
    }
  });
}

/**
 * Waits until HAProxy's own check has passed on each of `confirm`.
 * @throws ZDD_HAPROXY_SERVER_DOWN with the last check of the first that did not pass, WorkerChanged
 */
export async function confirmed(
  context: Context,
  confirm: readonly Target[],
  pid: number,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + context.options.confirmMs;
  const backends = backendsIn(confirm);
  for (;;) {
    const running = await onWorker(context, pid, signal, (conversation) =>
      observeBackends(conversation, backends),
    );
    const missing = confirm.find(
      ({ backend, server }) => serverOf(running, backend, server)?.checkedOk !== true,
    );
    if (missing === undefined) return;
    if (performance.now() > until)
      throw serverDown(context, running, missing, context.options.confirmMs);
    await sleep(POLL_MS, undefined, { signal });
  }
}

function serverDown(
  context: Context,
  running: Pick<Running, 'backends'>,
  target: Target,
  waitedMs: number,
): ZddError {
  const server = serverOf(running, target.backend, target.server);
  return new ZddError(
    'ZDD_HAPROXY_SERVER_DOWN',
    `HAProxy's own check of ${target.server} did not pass within ${waitedMs} ms.`,
    {
      evidence: [
        ['server', path(target)],
        ['last check', server?.lastCheck || 'none yet'],
        ['status', server?.status ?? 'not there'],
      ],
      traffic: 'unchanged',
      tries: [`echo 'show stat ${target.backend} 4 -1' | socat stdio ${context.admin.path}`],
    },
  );
}

/** Lowering is safe only while another server of the backend can take what comes. */
function requireSuccessor(
  context: Context,
  running: Pick<Running, 'backends'>,
  raise: readonly Move[],
  lower: readonly Move[],
): void {
  for (const backend of new Set(lower.map((move) => move.backend))) {
    const after = new Map(lower.map((move) => [path(move), move.to]));
    const left = [...(running.backends.get(backend)?.values() ?? [])].filter(
      (server) =>
        (after.get(path({ backend, server: server.name })) ?? effectiveWeight(server)) > 0,
    );
    // None at all is a wish: the app is being taken out of traffic.
    if (left.length === 0 || left.some((server) => server.admin === 'ready' && !server.down)) {
      continue;
    }
    const down = raise.find((move) => move.backend === backend);
    const first = left[0];
    if (first !== undefined) {
      throw serverDown(context, running, down ?? { backend, server: first.name }, 0);
    }
  }
}

/** From the file, at weight 0, in use for nobody, not looked at by HAProxy yet. */
function unchecked(running: Pick<Running, 'backends'>, target: Target): boolean {
  const server = serverOf(running, target.backend, target.server);
  return server?.admin === 'ready' && server.weight === 0 && !server.checkedOk && !server.down;
}

async function addServer(
  { order }: Conversation,
  target: Target,
  places: ReadonlyMap<string, string>,
): Promise<void> {
  await order(`add server ${path(target)} ${places.get(path(target))} weight 0`);
  await order(`enable health ${path(target)}`);
}

/** @returns false when it still has connections and stays, in maintenance */
async function removeServer({ order }: Conversation, target: Target): Promise<boolean> {
  try {
    await order(`set server ${path(target)} state maint`);
    await order(`del server ${path(target)}`);
    return true;
  } catch (error) {
    if (!(error instanceof CommandRefused)) throw error;
    if (error.refusal === 'no_such_server') return true;
    if (error.refusal === 'still_connected') return false;
    throw error;
  }
}

async function setWeight({ order }: Conversation, target: Target, to: number): Promise<void> {
  await order(`set server ${path(target)} weight ${to}`);
}

/** Address and options of each server, by its path. */
function placesOf(desired: DesiredProxy, chroot: string | undefined): ReadonlyMap<string, string> {
  return new Map(
    desired.apps.flatMap((app) =>
      app.servers.map((server) => [
        path({ backend: backendOf(app.app), server: server.name }),
        `${addressText(server.address, chroot)} ${serverOptions(server)}`,
      ]),
    ),
  );
}

function backendsIn(targets: readonly Target[]): ReadonlySet<string> {
  return new Set(targets.map(({ backend }) => backend));
}

function path({ backend, server }: Target): string {
  return `${backend}/${server}`;
}
