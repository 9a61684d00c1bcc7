import type { AppState } from '../core/model.ts';
import { isHeld } from '../core/traffic.ts';
import type { DesiredApp, DesiredProxy } from '../haproxy/desired.ts';

/** What is wanted of HAProxy without a reload. */
export interface Frozen {
  readonly desired: DesiredProxy;
  /** Apps that want something that only a reload brings: they have to wait. */
  readonly behind: ReadonlySet<string>;
}

/**
 * Requests that wait for one app would be lost by a reload for another: an old worker never gets to know
 * who is there at last. So while some wait, every other app keeps what only a reload changes; servers,
 * weights and routes move as ever.
 * @param loaded what HAProxy was made to say last; null when that is not known
 * @param waited the apps whose requests wait
 */
export function withoutReload(
  desired: DesiredProxy,
  loaded: DesiredProxy | null,
  waited: ReadonlySet<string>,
): Frozen {
  const behind = new Set<string>();
  if (waited.size === 0 || loaded === null) return { desired, behind };
  const known = new Map(loaded.apps.map((each) => [each.app, each]));
  const apps = desired.apps.flatMap((app) => {
    const before = known.get(app.app);
    if (waited.has(app.app)) return [app];
    if (before !== undefined && shapeOf(before) === shapeOf(app)) return [app];
    behind.add(app.app);
    if (before === undefined) return [];
    const { servers, routes } = app;
    return [{ ...before, servers, routes, ...flagsOf(before, app) }];
  });
  // One that has left the journal would go by a reload as well.
  const named = new Set(desired.apps.map(({ app }) => app));
  const gone = loaded.apps.filter(({ app }) => !named.has(app));
  // Certificates come and go as they are; only the first needs a reload.
  const tls = loaded.tls === undefined ? {} : { tls: desired.tls ?? loaded.tls };
  return { desired: { apps: [...apps, ...gone], ...tls }, behind };
}

/** Whether requests of an app wait, or are just being let go. */
export function waits(state: AppState): boolean {
  const { deployment } = state;
  if (deployment?.heldSince === undefined) return false;
  return isHeld(state) || ['switching', 'reverting'].includes(deployment.phase.name);
}

function shapeOf({ servers: _, routes: __, keepsRoutes: ___, ...app }: DesiredApp): string {
  return JSON.stringify({
    ...app,
    maintenance: { ...app.maintenance, on: false },
    hold: app.hold === undefined ? null : { ...app.hold, on: false },
    split: app.split === undefined ? null : { ...app.split, share: null },
    sticky: app.sticky !== undefined,
  });
}

function flagsOf(
  before: DesiredApp,
  { keepsRoutes, maintenance, hold, split, sticky }: DesiredApp,
): Partial<DesiredApp> {
  return {
    ...(keepsRoutes === undefined ? {} : { keepsRoutes }),
    ...(before.maintenance === undefined
      ? {}
      : { maintenance: { ...before.maintenance, on: maintenance?.on ?? false } }),
    ...(before.hold === undefined ? {} : { hold: { ...before.hold, on: hold?.on ?? false } }),
    ...(before.split === undefined
      ? {}
      : { split: { ...before.split, share: split?.share ?? null } }),
    ...(before.sticky === undefined ? {} : { sticky: sticky ?? { lingering: [] } }),
  };
}
