import {
  type AppState,
  candidateOf,
  type Generation,
  sameGeneration,
  standingRelease,
} from '../core/model.ts';
import { isHeld, leadingGeneration, servingGeneration, trafficOf } from '../core/traffic.ts';
import type {
  Applied,
  DesiredApp,
  DesiredProxy,
  DesiredServer,
  Difference,
  ServerAddress,
} from '../haproxy/proxy.ts';
import { holdOf } from '../protocol/hold.ts';
import { routesOf } from '../protocol/routes.ts';
import type { Listen } from '../runner/runner.ts';
import { type Books, configOf, type Host, type HostSlot, type TrafficControl } from './host.ts';
import { desiredTls } from './tls/books.ts';

/**
 * What HAProxy shall do, read off the journal: always the whole of it, so that file and running
 * process can be made true from any state, by whoever comes first.
 */
export class Traffic implements TrafficControl {
  #lastMove: Applied = { reloaded: false, switchMs: 0, changed: false };

  /** Makes HAProxy say what the journal says. */
  async apply(host: Host, signal: AbortSignal): Promise<Applied> {
    const applied = await host.proxy.apply(desiredProxy(host), signal);
    if (applied.switchMs > 0 || applied.reloaded) this.#lastMove = applied;
    return applied;
  }

  /**
   * Makes HAProxy say what the journal says, and tells how traffic came to be so: it may have been
   * moved a moment ago, by an `apply` for another reason that found the journal changed.
   */
  async move(host: Host, signal: AbortSignal): Promise<Applied> {
    await this.apply(host, signal);
    return this.#lastMove;
  }

  /** What differs between the journal, the file and the running HAProxy. */
  async inspect(host: Host, signal: AbortSignal): Promise<readonly Difference[]> {
    return await host.proxy.inspect(desiredProxy(host), signal);
  }
}

/** The traffic of every app of the host. */
export function desiredProxy(host: Books): DesiredProxy {
  const apps = host.journal.apps().flatMap((app) => {
    const desired = desiredApp(host, host.journal.state(app));
    return desired === null ? [] : [desired];
  });
  const expected = false;
  return { apps, tls: desiredTls(host.tls, expected) };
}

function desiredApp(host: Books, state: AppState): DesiredApp | null {
  const shares = trafficOf(state);
  const leading = leadingOf(state);
  if (leading === null) return null;
  const config = configOf(host, state.app, leading);
  if (config.processes['web'] === undefined) return null;
  const servers = shares.flatMap(({ generation, weight, state: condition }) =>
    trafficSlots(host, state.app, generation).map(
      (slot): DesiredServer => ({
        name: slot.name,
        address: addressOf(slot.spec.listen),
        weight,
        state: condition,
      }),
    ),
  );
  assertServed(state, servers);
  const { access, redirect, tls } = config;
  const maintenance = host.maintenance.find(state.app);
  return {
    app: state.app,
    routes: routesOf(config),
    access,
    redirect,
    hsts: tls.hsts,
    keepsRoutes: standingRelease(state) !== null,
    check: commonCheck(host, state),
    servers,
    refused: noticePaths(host, state),
    ...holdFor(host, state),
    ...(maintenance === null ? {} : { maintenance }),
  };
}

/**
 * Whose routes and check HAProxy has. A stopped app keeps its own, so that who asks for it is told to
 * come back later, and that neither stop nor start needs a reload.
 */
function leadingOf(state: AppState): Generation | null {
  const leading = leadingGeneration(state);
  if (leading !== null) return leading;
  const release = standingRelease(state);
  return release === null ? null : { release, deployment: 0 };
}

/**
 * What HAProxy knows, or will know before requests that wait are let go: nothing that needs a reload
 * may change in between, so it counts from the beginning.
 */
function knownGenerations(state: AppState): readonly Generation[] {
  const known = trafficOf(state).map(({ generation }) => generation);
  const { deployment } = state;
  const coming = deployment === null ? null : candidateOf(deployment.phase);
  if (coming === null || deployment?.policy.holdMs === undefined) return known;
  return known.some((generation) => sameGeneration(generation, coming))
    ? known
    : [...known, coming];
}

/** How requests wait, where one of the releases may not run beside another. */
function holdFor(host: Books, state: AppState): Pick<DesiredApp, 'hold'> {
  const leading = leadingOf(state);
  const generations = [state.stable, ...knownGenerations(state), leading];
  for (const generation of generations) {
    if (generation === null) continue;
    const hold = holdOf(configOf(host, state.app, generation));
    if (hold === null) continue;
    const { within, requests } = hold;
    return { hold: { on: isHeld(state), withinMs: within, requests } };
  }
  return {};
}

/** Better no change at all than one that leaves an app without a server. */
function assertServed(state: AppState, servers: readonly DesiredServer[]): void {
  if (servingGeneration(state) === null || servers.some(({ weight }) => weight > 0)) return;
  throw new Error(`${state.app} has a release that serves, but no slot of it is known`);
}

/**
 * HAProxy's check is one for the whole backend. While releases stand in it that disagree on their
 * health path, it only connects: a check by the other's path would take a healthy server down.
 */
function commonCheck(host: Books, state: AppState): DesiredApp['check'] {
  const known = knownGenerations(state);
  const leading = leadingOf(state);
  const checks = (known.length > 0 || leading === null ? known : [leading]).map((generation) => {
    const health = configOf(host, state.app, generation).processes['web']?.health;
    return health === undefined ? null : { path: health.path, status: health.status };
  });
  const [first = null] = checks;
  const agree = checks.every(
    (check) => check?.path === first?.path && check?.status === first?.status,
  );
  return agree ? first : null;
}

/** A notice comes from the agent, on the instance's own socket; nobody else is to send one. */
function noticePaths(host: Books, state: AppState): readonly string[] {
  const paths = knownGenerations(state).flatMap((generation) => {
    const { notice } = configOf(host, state.app, generation).drain;
    return notice !== undefined && 'post' in notice ? [notice.post] : [];
  });
  return [...new Set(paths)].toSorted();
}

/** Whether a release has a process that answers requests. */
export function takesTraffic(host: Books, app: string, generation: Generation): boolean {
  return configOf(host, app, generation).processes['web'] !== undefined;
}

/** The slots of a generation that HAProxy sends requests to. */
export function trafficSlots(host: Books, app: string, generation: Generation): HostSlot[] {
  return host.slots.of(app, generation).filter(({ takesTraffic }) => takesTraffic);
}

/** Where HAProxy finds an instance that listens there. */
export function addressOf(listen: Listen): ServerAddress {
  switch (listen.kind) {
    case 'unix':
      return { kind: 'unix', path: listen.path };
    case 'tcp':
      return { kind: 'tcp', host: '127.0.0.1', port: listen.port };
    case 'none':
      throw new Error('a slot that takes traffic has no place to listen');
  }
}
