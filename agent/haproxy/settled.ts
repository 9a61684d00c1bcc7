import { readConfig } from './config/file.ts';
import { type RouteMaps, routeChanges } from './config/maps.ts';
import { type ConfigFile, mapsSay, readMaps } from './config-file.ts';
import type { Context } from './context.ts';
import { type Plan, planServers } from './converge.ts';
import type { DesiredProxy, DesiredTls } from './desired.ts';
import { showProcesses } from './master.ts';
import { observeBackends, type Running, serverOf } from './observe.ts';
import { observeRoutes } from './routes.ts';
import { differingTls } from './tls/converge.ts';
import { sweepTlsFiles } from './tls/files.ts';
import { onWorker } from './worker.ts';

/** What one apply has done so far. */
export interface Progress {
  changed: boolean;
  reloaded: boolean;
  switchMs: number;
  /** Traffic has moved: from here on the only way is forward. */
  moved: boolean;
}

/** Where one step has come to. */
export interface Reached {
  /** As it was seen last: what was changed since is not in it. */
  readonly running: Running;
  /** The backends that were changed. */
  readonly touched: ReadonlySet<string>;
  /** `haproxy.cfg` as it was left, and where it stands. */
  readonly text: string;
  readonly file: Pick<ConfigFile, 'chroot' | 'folder'>;
  readonly maps: RouteMaps | undefined;
  readonly tls: DesiredTls | undefined;
}

/** Whether a plan is more than servers that could not be deleted yet. */
export function acts(plan: Plan, running: Running): boolean {
  const { remove, ...rest } = plan;
  return (
    Object.values(rest).some((steps: readonly unknown[]) => steps.length > 0) ||
    remove.some(({ backend, server }) => serverOf(running, backend, server)?.admin !== 'maint')
  );
}

/**
 * Whether it is still so, on the worker that the master says is the current one.
 * @returns what that worker has; undefined: it is not so any more
 */
export async function settled(
  context: Context,
  desired: DesiredProxy,
  { running: seen, touched, text, file, maps, tls }: Reached,
  differs: (plan: Plan, running: Running) => boolean,
  signal: AbortSignal,
): Promise<Running | undefined> {
  // A reload that has begun shows here: the master does not answer until its new worker exists.
  const { current } = await showProcesses(context.master, signal, context.options.reloadMs);
  if (current?.pid !== seen.pid) return undefined;
  // Of the others nothing had to be changed when they were looked at, on this same worker.
  const running = await onWorker(context, seen.pid, signal, async (conversation) => {
    const { backends } = await observeBackends(conversation, touched);
    return { ...seen, backends: new Map([...seen.backends, ...backends]) };
  });
  if ((await readConfig(context.options.configPath)) !== text) return undefined;
  if (differs(planServers(desired, running, file.chroot), running)) return undefined;
  if (tls !== undefined) {
    const left = await differingTls(context, tls, file.folder, seen.pid, signal);
    if (left.length > 0) return undefined;
  }
  await sweepTlsFiles(file.folder, tls);
  if (maps === undefined) return running;
  const routes = await runningRoutes(context, running, file.folder, signal);
  if (routes === undefined || routeChanges(routes, maps).length > 0) return undefined;
  return mapsSay(await readMaps(file.folder), maps) ? running : undefined;
}

/** What it routes; undefined when it has no maps of ours. @throws WorkerChanged */
export async function runningRoutes(
  context: Context,
  { pid }: Running,
  folder: string,
  signal: AbortSignal,
): Promise<RouteMaps | undefined> {
  return onWorker(context, pid, signal, (conversation) => observeRoutes(conversation, folder));
}
