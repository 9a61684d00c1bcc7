import { headersToCandidate } from '../../haproxy/config/split.ts';
import type { DesiredApp } from '../../haproxy/desired.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { type Route, routesOf } from '../../protocol/routes.ts';
import type { Host } from '../host.ts';
import type { Address } from '../http-question.ts';
import { desiredProxy } from '../traffic.ts';

/** How an app is asked as its users ask it. */
export interface Entry {
  readonly listen: Address;
  readonly headers: Readonly<Record<string, string>>;
  /** What a user has to ask for where the app shall see `path`; null: no user can. */
  pathOf(path: string): string | null;
}

/** What stands in for `*` where a name is needed. */
const ANY_HOST = 'localhost';
const ANY_LABEL = 'smoke';

/** The way in through HAProxy, or in words why the agent has none. */
export function entryOf(host: Host, app: string, config: AppConfig): Entry | string {
  const entrance = host.entrance();
  if (entrance === null) return 'HAProxy has no plain HTTP bind of the agent';
  if (host.maintenance.find(app)?.on === true) return 'the app is in maintenance';
  if (config.access.allow.length > 0) return 'access.allow shuts the agent out';
  if (config.access.basic_auth.length > 0) return 'access.basic_auth asks for a password';
  const { canonical, https } = config.redirect;
  const routes = routesOf(config);
  const wanted = canonical === undefined ? routes : [...routesFor(routes, canonical), ...routes];
  const [first] = wanted;
  if (first === undefined) return 'it has no routes';
  const name = canonical ?? nameFor(first);
  const { apps } = desiredProxy(host);
  return {
    listen: { kind: 'address', ...entrance },
    headers: { host: name, ...(https ? { 'x-forwarded-proto': 'https' } : {}) },
    pathOf(path) {
      const ways = routesFor(routes, name).map((route) =>
        route.strip ? joined(route, path) : path,
      );
      return ways.find((asked) => ownerOf(apps, name, asked) === app) ?? null;
    },
  };
}

/**
 * The way in through HAProxy that leads to the candidate of a canary, whatever its share.
 * @param config of the release whose routes HAProxy has
 */
export function candidateEntryOf(host: Host, app: string, config: AppConfig): Entry | string {
  const entry = entryOf(host, app, config);
  if (typeof entry === 'string') return entry;
  const split = desiredProxy(host).apps.find((desired) => desired.app === app)?.split;
  const headers = split === undefined ? null : headersToCandidate(split);
  if (headers === null) return 'it has no users yet, and preview names no header or cookie';
  return { ...entry, headers: { ...entry.headers, ...headers } };
}

/**
 * Whose a request is: an exact host before a wildcard, a longer wildcard before a shorter one, `*`
 * last; for one host the longest path.
 */
export function ownerOf(
  apps: ReadonlyArray<Pick<DesiredApp, 'app' | 'routes'>>,
  name: string,
  path: string,
): string | null {
  const [pathname = ''] = path.split('?');
  const fitting = apps
    .flatMap(({ app, routes }) => routesFor(routes, name).map((route) => ({ app, route })))
    .filter(({ route }) => isBelow(pathname, route.path));
  const [best] = fitting.toSorted(
    (a, b) =>
      rankOf(b.route.host) - rankOf(a.route.host) || b.route.path.length - a.route.path.length,
  );
  return best?.app ?? null;
}

function routesFor(routes: readonly Route[], name: string): Route[] {
  return routes.filter(
    ({ host }) =>
      host === '*' || host === name || (host.startsWith('*.') && name.endsWith(host.slice(1))),
  );
}

function rankOf(host: string): number {
  if (host === '*') return 0;
  return host.startsWith('*.') ? host.length : Number.MAX_SAFE_INTEGER;
}

function isBelow(path: string, root: string): boolean {
  return root === '/' || path === root || path.startsWith(`${root}/`);
}

function nameFor({ host }: Route): string {
  if (host === '*') return ANY_HOST;
  return host.startsWith('*.') ? `${ANY_LABEL}${host.slice(1)}` : host;
}

function joined({ path: root }: Route, path: string): string {
  return root === '/' ? path : `${root}${path}`;
}
