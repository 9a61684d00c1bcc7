import { type Route, segmentsOf } from '../../protocol/routes.ts';
import type { DesiredProxy } from '../desired.ts';
import { appOf, backendOf } from './names.ts';
import { shareText } from './share.ts';
import { stays } from './stays.ts';

/**
 * The map files: exact hosts, hosts below a domain or all there are, which share of an app's users
 * a candidate has, and with which servers users may stay.
 */
export const MAP_NAMES = ['hosts', 'wildcards', 'shares', 'stays'] as const;
export type MapName = (typeof MAP_NAMES)[number];

/**
 * What a map says: the beginning of what a request asks for (`shop.example.com/api/`) -> the backend,
 * and after a `/` how many segments are taken off the path (`zdd_api/1`). HAProxy finds the longest.
 */
export type RouteMap = ReadonlyMap<string, string>;
export type RouteMaps = Readonly<Record<MapName, RouteMap>>;

/** One route that differs between two tables. */
export interface RouteChange {
  readonly map: MapName;
  readonly key: string;
  /** undefined: it is not there yet. */
  readonly from: string | undefined;
  /** undefined: it goes. */
  readonly to: string | undefined;
}

/** Where a map stands: beside `haproxy.cfg`, which the agent may write and HAProxy read. */
export function mapPath(folder: string, name: MapName): string {
  return `${folder}/zdd-${name}.map`;
}

/**
 * The shares of all apps, and the routes of all but those that have never served: these must not be
 * given anybody's requests.
 * @param routed whether a frontend of ours routes by them
 */
export function routeMaps(desired: DesiredProxy, routed = true): RouteMaps {
  const maps = {
    hosts: new Map<string, string>(),
    wildcards: new Map<string, string>(),
    shares: new Map<string, string>(),
    stays: new Map<string, string>(),
  };
  for (const app of desired.apps) {
    const share = shareText(app);
    if (share !== null) maps.shares.set(backendOf(app.app), share);
    for (const server of stays(app)) maps.stays.set(server, '1');
  }
  if (!routed) return maps;
  for (const { app, routes, servers, keepsRoutes = false } of desired.apps) {
    const serves = servers.some(({ weight, state }) => weight > 0 && state === 'ready');
    if (!serves && !keepsRoutes) continue;
    for (const route of routes) {
      const { map, key } = placeOf(route);
      maps[map].set(key, route.strip ? `${backendOf(app)}/${segmentsOf(route)}` : backendOf(app));
    }
  }
  return maps;
}

/**
 * What a worker that is about to be loaded shall route: what the present one does, so that no reload
 * moves traffic, but for backends that it will not have.
 */
export function carriedMaps(
  wanted: RouteMaps,
  running: RouteMaps | undefined,
  desired: DesiredProxy,
): RouteMaps {
  if (running === undefined) return wanted;
  const backends = new Set(desired.apps.map(({ app }) => backendOf(app)));
  const carried = (name: MapName): RouteMap => {
    const kept = new Map<string, string>();
    for (const [key, value] of running[name]) {
      const backend = backendIn(name === 'shares' || name === 'stays' ? key : value);
      const lasting = backends.has(backend) ? value : wanted[name].get(key);
      if (lasting !== undefined) kept.set(key, lasting);
    }
    return kept;
  };
  return {
    hosts: carried('hosts'),
    wildcards: carried('wildcards'),
    shares: carried('shares'),
    stays: carried('stays'),
  };
}

/** What has to change, in an order in which no request falls between: what goes, goes last. */
export function routeChanges(from: RouteMaps, to: RouteMaps): readonly RouteChange[] {
  const changes = MAP_NAMES.flatMap((map) =>
    [...new Set([...from[map].keys(), ...to[map].keys()])].map((key) => ({
      map,
      key,
      from: from[map].get(key),
      to: to[map].get(key),
    })),
  ).filter((change) => change.from !== change.to);
  return [
    ...changes.filter(({ to: goal }) => goal !== undefined),
    ...changes.filter(({ to: goal }) => goal === undefined),
  ];
}

/** A route that differs, for people: `*.example.com/api: to shop, wanted api`. */
export function changeText({ map, key, from, to }: RouteChange): string {
  if (map === 'shares') {
    const share = `share of ${appOf(key) ?? key}`;
    return `${share}: ${from ?? 'none'}, wanted ${to ?? 'none'}`;
  }
  if (map === 'stays') {
    return `users of ${nameOf(key)} on ${key.split('/')[1]}: ${to === undefined ? 'may stay, not wanted' : 'may not stay, wanted'}`;
  }
  const route = `route ${routeOfKey(map, key)}`;
  if (from === undefined) return `${route}: missing at runtime`;
  if (to === undefined) return `${route}: not wanted`;
  return `${route}: to ${nameOf(from)}, wanted ${nameOf(to)}`;
}

/** A map as a file. Equal content, equal bytes. */
export function mapText(name: MapName, map: RouteMap): string {
  const lines = [...map]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => `${key} ${value}\n`);
  return `${HEADERS[name].map((line) => `# ${line}\n`).join('')}${lines.join('')}`;
}

/** Reads what `mapText` or an admin wrote, as HAProxy does. */
export function readMapText(text: string): RouteMap {
  return new Map(
    text.split('\n').flatMap((line) => {
      const found = /^\s*([^#\s]\S*)\s+(.*\S)/.exec(line);
      return found?.[1] === undefined || found[2] === undefined ? [] : [[found[1], found[2]]];
    }),
  );
}

const HEADERS: Readonly<Record<MapName, readonly string[]>> = {
  hosts: [
    'Routes of zdd-agent, kept equal to those of the running HAProxy: host/path/ backend.',
    'A number behind the backend says how many segments are taken off the path.',
  ],
  wildcards: [
    'Routes of zdd-agent for the hosts below a domain, or, without a domain, for every host.',
    'Looked at when no line of zdd-hosts.map fits.',
  ],
  shares: [
    'Users of an app that are on its candidate: backend, how many of 10,000 / instances / turn / servers.',
  ],
  stays: ['Servers with which the users of an app may stay whose cookie names them.'],
};

function placeOf({ host, path }: Route): { map: 'hosts' | 'wildcards'; key: string } {
  const below = path === '/' ? '/' : `${path}/`;
  if (host === '*') return { map: 'wildcards', key: below };
  if (host.startsWith('*.')) return { map: 'wildcards', key: `${host.slice(2)}${below}` };
  return { map: 'hosts', key: `${host}${below}` };
}

function routeOfKey(map: 'hosts' | 'wildcards', key: string): string {
  const host = map === 'hosts' ? '' : key.startsWith('/') ? '*' : '*.';
  return `${host}${key.replace(/\/$/, '')}`;
}

function backendIn(value: string): string {
  return value.split('/')[0] ?? '';
}

function nameOf(value: string): string {
  return appOf(backendIn(value)) ?? backendIn(value);
}
