import { holdServer } from './config/hold.ts';
import { maintenanceServer } from './config/maintenance.ts';
import { addressText, backendOf } from './config/names.ts';
import type { WrittenServers } from './config/read.ts';
import type { DesiredApp, DesiredProxy, DesiredServer, ServerAddress } from './desired.ts';
import { effectiveWeight, type Running, type RunningServer, serverOf } from './observe.ts';

/** A server by the two names HAProxy knows it by. */
export interface Target {
  readonly backend: string;
  readonly server: string;
}

/** A new weight for a server that runs. */
export interface Move extends Target {
  readonly from: number;
  readonly to: number;
}

/** What brings a running HAProxy to the desired state, in the order in which it is done. */
export interface Plan {
  /** Missing: added at weight 0, enabled once HAProxy's check has passed. */
  readonly add: readonly (Target & { readonly address: string })[];
  /** There, but taken out by hand: weight 0, back in, then as the added ones. */
  readonly revive: readonly Target[];
  /** Then in one transaction: first those that gain, */
  readonly raise: readonly Move[];
  /** then those that lose. */
  readonly lower: readonly Move[];
  /** Out of use, kept while somebody may count their connections. */
  readonly maintain: readonly Target[];
  /** Not wanted any more: maintenance and gone. */
  readonly remove: readonly Target[];
}

/**
 * What differs between a desired state and a running worker of the same shape. Pure. Servers that
 * are to gain weight from 0 must have been admitted before: see `stage`.
 */
export function planServers(
  desired: DesiredProxy,
  running: Running,
  chroot: string | undefined,
): Plan {
  const add: (Target & { address: string })[] = [];
  const revive: Target[] = [];
  const raise: Move[] = [];
  const lower: Move[] = [];
  const maintain: Target[] = [];
  const remove: Target[] = [];
  for (const { backend, server, running: found } of pairs(desired, running)) {
    const target = { backend, server: server.name };
    if (server.state === 'leaving') {
      if (found === undefined || found.admin === 'maint') continue;
      if (found.weight > 0) lower.push({ ...target, from: found.weight, to: 0 });
      maintain.push(target);
      continue;
    }
    if (found === undefined) add.push({ ...target, address: addressText(server.address, chroot) });
    else if (found.admin !== 'ready') revive.push(target);
    const from = effectiveWeight(found);
    const move = { ...target, from, to: server.weight };
    if (move.to > from) raise.push(move);
    else if (move.to < from) lower.push(move);
  }
  for (const app of nearBy(desired, running)) {
    const flags = [
      { ...maintenanceServer(app.app), to: Number(app.maintenance?.on ?? false) },
      // Up before the servers lose their weight, down after others have theirs.
      { ...holdServer(app.app), to: Number(app.hold?.on ?? false) },
    ];
    for (const { to, ...target } of flags) {
      const from = serverOf(running, target.backend, target.server)?.weight;
      // Without the flag a reload is due, and brings it.
      if (from === undefined || from === to) continue;
      (to > from ? raise : lower).push({ ...target, from, to });
    }
  }
  const wanted = new Map(
    nearBy(desired, running).map((app) => [
      backendOf(app.app),
      new Set(app.servers.map(({ name }) => name)),
    ]),
  );
  for (const [backend, servers] of running.backends) {
    const names = wanted.get(backend);
    // Backends of apps that are gone go with the reload; the admin's own are not ours to touch.
    if (names === undefined) continue;
    for (const found of servers.values()) {
      if (names.has(found.name)) continue;
      const target = { backend, server: found.name };
      const from = effectiveWeight(found);
      if (from > 0) lower.push({ ...target, from, to: 0 });
      remove.push(target);
    }
  }
  return { add, revive, raise, lower, maintain, remove };
}

/** Nothing to do. */
export function isEmpty(plan: Plan): boolean {
  return Object.values(plan).every((steps: readonly unknown[]) => steps.length === 0);
}

/**
 * The state to reach before `desired`, so that no new request ever meets a server that HAProxy has
 * not confirmed and no reload moves traffic: every server of `desired` at the weight it has now (0
 * when it is new), beside those that still carry traffic. Undefined when `desired` may be made so
 * at once. Pure.
 */
export function stage(
  desired: DesiredProxy,
  running: Running,
  willReload: boolean,
  written: WrittenServers,
  chroot: string | undefined,
): DesiredProxy | undefined {
  const moves = pairs(desired, running).filter(
    ({ server, running: found }) => goalOf(server) !== effectiveWeight(found),
  );
  const leaves = nearBy(desired, running).some(
    (app) => serving(app, running, written, chroot).length > 0,
  );
  const unconfirmed = moves.some(
    ({ server, running: found }) =>
      goalOf(server) > 0 &&
      effectiveWeight(found) === 0 &&
      (found === undefined || !found.checkedOk || found.admin !== 'ready'),
  );
  if (!unconfirmed && !(willReload && (moves.length > 0 || leaves))) return undefined;
  return {
    ...desired,
    apps: eachNear(desired, running, (app, servers) => ({
      ...app,
      ...(app.hold === undefined ? {} : { hold: { ...app.hold, on: isHeld(app, running) } }),
      servers: [
        ...app.servers.map((server) => asItIs(server, servers?.get(server.name))),
        ...serving(app, running, written, chroot),
      ],
    })),
  };
}

/**
 * `desired` without the servers whose running namesake points elsewhere. Where the file does not say
 * it any more, because somebody replaced it, the name of one in service is believed: it is given once
 * and for ever. One in maintenance that the file does not name was taken out for its address.
 */
export function withoutMisplaced(
  desired: DesiredProxy,
  running: Running,
  written: WrittenServers,
  chroot: string | undefined,
): DesiredProxy | undefined {
  let misplaced = 0;
  const apps = eachNear(desired, running, (app, servers) => ({
    ...app,
    servers: app.servers.filter((server) => {
      const found = servers?.get(server.name);
      if (found === undefined) return true;
      const address = addressText(server.address, chroot);
      const known =
        found.address === 'unix'
          ? written.get(backendOf(app.app))?.get(server.name)
          : found.address;
      if (known === address || (known === undefined && found.admin === 'ready')) return true;
      misplaced += 1;
      return false;
    }),
  }));
  return misplaced === 0 ? undefined : { ...desired, apps };
}

/**
 * The servers that HAProxy must have checked before anything moves: those that come, and those
 * that are to get traffic and have none. One that stands by at weight 0 may be down: it harms
 * nobody, and must not keep the rest from being put right. Pure.
 */
export function toConfirm(desired: DesiredProxy, before: Running): readonly Target[] {
  return pairs(desired, before)
    .filter(
      ({ server, running: found }) =>
        server.state === 'ready' &&
        effectiveWeight(found) === 0 &&
        (found === undefined || found.admin !== 'ready' || (server.weight > 0 && !found.checkedOk)),
    )
    .map(({ backend, server }) => ({ backend, server: server.name }));
}

/** Whether requests wait now: who waits may go on when another server has weight, not before. */
function isHeld({ app }: DesiredApp, running: Running): boolean {
  const { backend, server } = holdServer(app);
  return effectiveWeight(serverOf(running, backend, server)) > 0;
}

interface Pair {
  readonly backend: string;
  readonly server: DesiredServer;
  readonly running: RunningServer | undefined;
}

function pairs(desired: DesiredProxy, running: Running): readonly Pair[] {
  return nearBy(desired, running).flatMap((app) => {
    const backend = backendOf(app.app);
    const servers = running.backends.get(backend);
    return app.servers.map((server) => ({ backend, server, running: servers?.get(server.name) }));
  });
}

/** The apps of which it is known what runs. */
function nearBy({ apps }: DesiredProxy, { near }: Running): readonly DesiredApp[] {
  return near === undefined ? apps : apps.filter(({ app }) => near.has(backendOf(app)));
}

/** All apps, those changed of which it is known what runs. */
function eachNear(
  { apps }: DesiredProxy,
  { near, backends }: Running,
  change: (app: DesiredApp, servers: ReadonlyMap<string, RunningServer> | undefined) => DesiredApp,
): readonly DesiredApp[] {
  return apps.map((app) => {
    const backend = backendOf(app.app);
    return near?.has(backend) === false ? app : change(app, backends.get(backend));
  });
}

function goalOf(server: DesiredServer): number {
  return server.state === 'leaving' ? 0 : server.weight;
}

function asItIs(server: DesiredServer, found: RunningServer | undefined): DesiredServer {
  const weight = effectiveWeight(found);
  // A leaving server that still has weight serves on until the others are confirmed.
  const state = server.state === 'leaving' && weight > 0 ? 'ready' : server.state;
  return { ...server, weight, state };
}

/** Servers that carry traffic and that `desired` does not name at all. */
function serving(
  app: DesiredApp,
  running: Running,
  written: WrittenServers,
  chroot: string | undefined,
): readonly DesiredServer[] {
  const backend = backendOf(app.app);
  const named = new Set(app.servers.map(({ name }) => name));
  return [...(running.backends.get(backend)?.values() ?? [])].flatMap((server) => {
    if (named.has(server.name) || effectiveWeight(server) === 0) return [];
    const address = readAddress(
      server.address === 'unix' ? written.get(backend)?.get(server.name) : server.address,
      chroot,
    );
    if (address === undefined) return [];
    return [{ name: server.name, address, weight: server.weight, state: 'ready' as const }];
  });
}

function readAddress(
  text: string | undefined,
  chroot: string | undefined,
): ServerAddress | undefined {
  if (text === undefined) return undefined;
  if (text.startsWith('unix@')) {
    const path = text.slice('unix@'.length);
    return { kind: 'unix', path: chroot === undefined ? path : `${chroot}${path}` };
  }
  const tcp = /^(.+):(\d+)$/.exec(text);
  if (tcp?.[1] === undefined) return undefined;
  return { kind: 'tcp', host: tcp[1].replace(/^\[(.*)\]$/, '$1'), port: Number(tcp[2]) };
}
