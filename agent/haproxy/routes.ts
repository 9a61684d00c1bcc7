import {
  MAP_NAMES,
  type MapName,
  mapPath,
  type RouteChange,
  type RouteMap,
  type RouteMaps,
} from './config/maps.ts';
import { refusalOf } from './refusal.ts';
import type { Conversation } from './runtime.ts';
import { parseMap } from './tables.ts';

/**
 * The routes of the running worker.
 * @returns undefined when what it has loaded names no maps of ours
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function observeRoutes(
  { ask }: Pick<Conversation, 'ask'>,
  folder: string,
): Promise<RouteMaps | undefined> {
  const found: Partial<Record<MapName, RouteMap>> = {};
  for (const name of MAP_NAMES) {
    const answer = await ask(`show map ${mapPath(folder, name)}`);
    if (refusalOf(answer) !== 'no_such_map') found[name] = parseMap(answer);
  }
  if (Object.keys(found).length === 0) return undefined;
  // One that no rule names is as good as empty: there are shares only where users can be divided.
  const none: RouteMap = new Map();
  const { hosts = none, wildcards = none, shares = none, stays = none } = found;
  return { hosts, wildcards, shares, stays };
}

/**
 * Changes routes of the running worker one by one. Each command changes one route for all requests
 * from then on. `commit map` would change all at once, but the two maps still one after the other.
 * @throws ZDD_HAPROXY_COMMAND, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function changeRoutes(
  { order }: Pick<Conversation, 'order'>,
  folder: string,
  changes: readonly RouteChange[],
): Promise<void> {
  for (const { map, key, from, to } of changes) {
    const path = mapPath(folder, map);
    if (to === undefined) await order(`del map ${path} ${key}`);
    else if (from === undefined) await order(`add map ${path} ${key} ${to}`);
    else await order(`set map ${path} ${key} ${to}`);
  }
}
