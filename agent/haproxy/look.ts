import { holdServer } from './config/hold.ts';
import { maintenanceServer } from './config/maintenance.ts';
import { backendOf } from './config/names.ts';
import type { Context } from './context.ts';
import { planServers } from './converge.ts';
import type { DesiredProxy } from './desired.ts';
import {
  FEW_BACKENDS,
  observeBackends,
  observeOn,
  observeProcess,
  type Running,
} from './observe.ts';
import { observeCurrent, onCurrentWorker } from './worker.ts';

/**
 * What the current worker has, for the sake of one app: the table of all servers of a host with many
 * apps costs more than a switch. So only the backends are looked at anew that are its own, or where
 * something is to be done by what was seen last; of the others that is what is returned. All are looked
 * at when nothing is known of this worker, or when it is to be reloaded: a reload moves every weight.
 * @param seen what the last `apply` left behind, if it came to its end
 * @param shape of the region that is wanted
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function lookFor(
  context: Context,
  app: string | undefined,
  desired: DesiredProxy,
  shape: string,
  seen: Running | undefined,
  chroot: string | undefined,
  signal: AbortSignal,
): Promise<Running> {
  if (app === undefined || seen === undefined || seen.shape !== shape) {
    return observeCurrent(context, signal);
  }
  const near = backendsFor(app, desired, seen, chroot);
  if (near.size > FEW_BACKENDS) return observeCurrent(context, signal);
  return onCurrentWorker(context, signal, async (conversation) => {
    const worker = await observeProcess(conversation);
    if (worker.pid !== seen.pid || worker.shape !== shape) return observeOn(conversation);
    const { backends } = await observeBackends(conversation, near);
    return { ...worker, backends: replaced(seen.backends, near, backends), near };
  });
}

/** The backends of an app, and of those that a plan made of what was seen would touch. Pure. */
export function backendsFor(
  app: string,
  desired: DesiredProxy,
  seen: Running,
  chroot: string | undefined,
): ReadonlySet<string> {
  const plan = Object.values(planServers(desired, seen, chroot));
  const touched = new Set(
    plan.flatMap((steps: readonly { readonly backend: string }[]) =>
      steps.map(({ backend }) => backend),
    ),
  );
  const others =
    touched.size === 0
      ? []
      : desired.apps.filter((other) => backendsOf(other.app).some((name) => touched.has(name)));
  const near = [app, ...others.map((other) => other.app)].flatMap(backendsOf);
  return new Set(near.filter((backend) => seen.backends.has(backend)));
}

function backendsOf(app: string): readonly string[] {
  return [backendOf(app), maintenanceServer(app).backend, holdServer(app).backend];
}

/** One that was asked for and is not there any more goes. */
function replaced(
  seen: Running['backends'],
  names: ReadonlySet<string>,
  found: Running['backends'],
): Running['backends'] {
  const others = [...seen].filter(([name]) => !names.has(name));
  return new Map([...others, ...found]);
}
