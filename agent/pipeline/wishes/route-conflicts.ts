import { candidateOf, standingRelease } from '../../core/model.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { routesOf, routeText } from '../../protocol/routes.ts';
import { configOf, type Host } from '../host.ts';

/**
 * Routes belong to one app. @param wishedOf what an app is about to be, though not yet unpacked
 * @throws ZDD_ROUTE_CONFLICT with the owner's name
 */
export function refuseRouteConflicts(
  host: Host,
  config: AppConfig,
  wishedOf: (app: string) => AppConfig | undefined,
): void {
  if (config.processes['web'] === undefined) return;
  const wanted = routesOf(config).map(routeText);
  for (const other of host.journal.apps()) {
    if (other === config.app) continue;
    const taken = routesOfApp(host, other, wishedOf(other));
    const shared = wanted.filter((route) => taken.has(route));
    if (shared.length === 0) continue;
    throw new ZddError(
      'ZDD_ROUTE_CONFLICT',
      `${shared.join(', ')} belong${shared.length === 1 ? 's' : ''} to the app ${other}`,
      {
        evidence: [[`routes of ${other}`, [...taken].join(', ')]],
        tries: [
          'mend routes in zdd.yaml (a longer path or an exact host may be taken), then: zdd-agent push',
        ],
      },
    );
  }
}

/**
 * The routes an app has or is about to have: of what serves, which its running deployment may go
 * back to, and of what is being deployed, though it may not be unpacked yet.
 */
function routesOfApp(host: Host, app: string, wished: AppConfig | undefined): ReadonlySet<string> {
  const state = host.journal.state(app);
  const { deployment } = state;
  const candidate = deployment === null ? null : candidateOf(deployment.phase);
  // A stopped app keeps its routes.
  const configs = [standingRelease(state), candidate?.release ?? null].flatMap((release) =>
    release === null ? [] : [configOf(host, app, { release, deployment: 0 })],
  );
  return new Set(
    [...configs, ...(wished === undefined ? [] : [wished])]
      .filter(({ processes }) => processes['web'] !== undefined)
      .flatMap((config) => routesOf(config).map(routeText)),
  );
}
