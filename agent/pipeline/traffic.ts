import {
  type AppState,
  candidateOf,
  type Generation,
  isAdmitted,
  sameGeneration,
  standingRelease,
} from '../core/model.ts';
import {
  canaryShare,
  extentOf,
  isHeld,
  leadingGeneration,
  lingering,
  type Share,
  servingGeneration,
  standingOf,
  trafficOf,
} from '../core/traffic.ts';
import type {
  DesiredApp,
  DesiredHold,
  DesiredProxy,
  DesiredServer,
  DesiredSplit,
  ServerAddress,
} from '../haproxy/desired.ts';
import type { Applied, Difference } from '../haproxy/proxy.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import { holdOf } from '../protocol/hold.ts';
import { routesOf } from '../protocol/routes.ts';
import type { Listen } from '../runner/runner.ts';
import { type Frozen, waits, withoutReload } from './held-shape.ts';
import { type Books, configOf, type Host, type HostSlot, type TrafficControl } from './host.ts';
import { pause } from './pause.ts';

/** How often is looked whether requests of another app still wait, ms. */
const LOOK_EVERY_MS = 200;

import { desiredTls } from './tls/books.ts';
import { mayRedirect, wantedHosts } from './tls/wanted.ts';

/**
 * What HAProxy shall do, read off the journal: always the whole of it, so that file and running
 * process can be made true from any state, by whoever comes first.
 */
export class Traffic implements TrafficControl {
  #lastMove: Applied = { reloaded: false, switchMs: 0, changed: false };

  /** What HAProxy was made to say last. */
  #loaded: DesiredProxy | null = null;

  /**
   * Makes HAProxy say what the journal says. What only a reload brings comes when no request waits.
   * @param app whose change it is: it is waited for until its own is in force
   */
  async apply(host: Host, signal: AbortSignal, app?: string): Promise<Applied> {
    for (;;) {
      let wish = this.#wish(host);
      const applied = await host.proxy.apply(
        () => {
          wish = this.#wish(host);
          return wish.desired;
        },
        signal,
        app,
      );
      this.#loaded = wish.desired;
      if (applied.switchMs > 0 || applied.reloaded) this.#lastMove = applied;
      if (app === undefined || !wish.behind.has(app)) return applied;
      await pause(LOOK_EVERY_MS, signal);
    }
  }

  #wish(host: Host): Frozen {
    const { journal } = host;
    const waited = journal.apps().filter((app) => waits(journal.state(app)));
    return withoutReload(desiredProxy(host), this.#loaded, new Set(waited));
  }

  /**
   * Makes HAProxy say what the journal says, and tells how traffic came to be so: it may have been
   * moved a moment ago, by an `apply` for another reason that found the journal changed.
   */
  async move(host: Host, signal: AbortSignal, app: string): Promise<Applied> {
    await this.apply(host, signal, app);
    return this.#lastMove;
  }

  /** What differs between the journal, the file and the running HAProxy. */
  async inspect(host: Host, signal: AbortSignal): Promise<readonly Difference[]> {
    return await host.proxy.inspect(this.#wish(host).desired, signal);
  }
}

/** The traffic of every app of the host. */
export function desiredProxy(host: Books): DesiredProxy {
  const states = host.journal.apps().map((app) => host.journal.state(app));
  const apps = states.flatMap((state) => {
    const desired = desiredApp(host, state);
    return desired === null ? [] : [desired];
  });
  return { apps, tls: desiredTls(host.tls, wantedHosts(host, states).size > 0) };
}

function desiredApp(host: Books, state: AppState): DesiredApp | null {
  const shares = trafficOf(state);
  const leading = leadingOf(state);
  if (leading === null) return null;
  const config = configOf(host, state.app, leading);
  if (config.processes['web'] === undefined) return null;
  const servers = shares.flatMap((share) => serversOf(host, state.app, share));
  assertServed(state, servers);
  const { access, redirect, tls } = config;
  const maintenance = host.maintenance.find(state.app);
  const split = splitOf(host, state, leading);
  const hold = holdFor(host, state);
  return {
    app: state.app,
    routes: routesOf(config),
    access,
    redirect: { ...redirect, https: redirect.https && mayRedirect(host, config) },
    hsts: tls.hsts,
    keepsRoutes: standingRelease(state) !== null,
    check: commonCheck(host, state),
    servers,
    refused: noticePaths(host, state),
    // Who was in the queue when the others began to wait waits for the same.
    overload: {
      queueMs: Math.max(config.overload.queue, hold?.withinMs ?? 0),
      page: config.overload.page ?? null,
    },
    ...(hold === null ? {} : { hold }),
    ...stickyFor(host, state, config),
    ...(split === null ? {} : { split }),
    ...shadowOf(host, state, leading),
    ...(maintenance === null ? {} : { maintenance }),
  };
}

/** The servers of a generation, with the limits that its own `zdd.yaml` sets. */
function serversOf(host: Books, app: string, share: Share): readonly DesiredServer[] {
  const { generation } = share;
  const { maxconn, slow_start } = configOf(host, app, generation).overload;
  return trafficSlots(host, app, generation).flatMap(({ name, index, spec }) => {
    const standing = standingOf(share, index);
    if (standing === null) return [];
    return [
      {
        name,
        address: addressOf(spec.listen),
        ...(maxconn === undefined ? {} : { maxconn }),
        ...(slow_start === 0 ? {} : { slowStartMs: slow_start }),
        ...standing,
      },
    ];
  });
}

/** Turns the users by a good part of the circle with each deployment: a prime near 0.62 of it. */
const TURN = 6_199;
const USERS = 10_000;

/**
 * There are rules for a division of the users when a release says that it comes by a canary, or this
 * deployment does; so a second canary needs no reload.
 */
function splitOf(host: Books, state: AppState, leading: Generation): DesiredSplit | null {
  const share = canaryShare(state);
  const { deployment } = state;
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  const configs = [candidate, leading].flatMap((generation) =>
    generation === null ? [] : [configOf(host, state.app, generation)],
  );
  const divides =
    configs.some(({ strategy }) => strategy.type === 'canary') ||
    deployment?.policy.strategy?.kind === 'canary';
  if (!divides) return null;
  const preview = configs.find((config) => config.preview !== undefined)?.preview ?? null;
  const rule =
    preview === null
      ? null
      : {
          ips: preview.ips,
          ...(preview.header === undefined ? {} : { header: preview.header }),
          ...(preview.cookie === undefined ? {} : { cookie: preview.cookie }),
        };
  if (share === null) return { preview: rule, share: null };
  const slots = trafficSlots(host, state.app, share.candidate);
  const [first] = slots;
  if (first === undefined) return { preview: rule, share: null };
  return {
    preview: rule,
    share: {
      ofTenThousand: Math.round(share.percent * (USERS / 100)),
      servers: { prefix: first.name.replace(/\d+$/, ''), count: slots.length },
      turn: (share.candidate.deployment * TURN) % USERS,
    },
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

/** With which servers users may stay beside those that take new ones. */
function stickyFor(
  host: Books,
  state: AppState,
  { sticky }: AppConfig,
): Pick<DesiredApp, 'sticky'> {
  if (sticky === undefined) return {};
  const names = lingering(state).flatMap((generation) =>
    trafficSlots(host, state.app, generation).map(({ name }) => name),
  );
  return { sticky: { lingering: names } };
}

/** How requests wait, where one of the releases may not run beside another. */
function holdFor(host: Books, state: AppState): DesiredHold | null {
  const leading = leadingOf(state);
  const generations = [state.stable, ...knownGenerations(state), leading];
  for (const generation of generations) {
    if (generation === null) continue;
    const hold = holdOf(configOf(host, state.app, generation));
    if (hold === null) continue;
    const { within, requests } = hold;
    return { on: isHeld(state), withinMs: within, requests };
  }
  return null;
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

/** A candidate that HAProxy knows decides: what it wants copied is what is copied to it. */
function shadowOf(host: Books, state: AppState, leading: Generation): Pick<DesiredApp, 'shadow'> {
  const { deployment } = state;
  const candidate =
    deployment !== null && isAdmitted(deployment) ? candidateOf(deployment.phase) : null;
  const { shadow } = configOf(host, state.app, candidate ?? leading);
  return shadow === undefined ? {} : { shadow: { headers: shadow.headers, bodies: shadow.bodies } };
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

/** Of these, those that take new requests now: all of them, unless its release comes or leaves one by one. */
export function servingSlots(host: Books, state: AppState, generation: Generation): HostSlot[] {
  const extent = extentOf(state, generation);
  const slots = trafficSlots(host, state.app, generation);
  return extent === null ? slots : slots.filter(({ index }) => index <= extent.serving);
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
