import type { Draft } from './config/draft.ts';
import { carriedMaps, routeChanges } from './config/maps.ts';
import { replaceRegion } from './config/region.ts';
import type { Rendered } from './config/render.ts';
import { type ConfigFile, recallConfigFile, writeHoldScript, writeMaps } from './config-file.ts';
import { type Context, renderWith } from './context.ts';
import { planServers, stage, type Target, toConfirm, withoutMisplaced } from './converge.ts';
import type { DesiredProxy } from './desired.ts';
import { writeText } from './drafting.ts';
import { showProcesses } from './master.ts';
import type { Running } from './observe.ts';
import { reload, requireRoom } from './reload.ts';
import { type Progress, type Reached, runningRoutes, settled } from './settled.ts';
import { confirmed } from './steps.ts';
import { needsReload } from './switch-by.ts';
import { differingTls, keyMode } from './tls/converge.ts';
import { writeTlsFiles } from './tls/files.ts';
import { observeCurrent, WorkerChanged } from './worker.ts';

/** How one state is loaded. */
interface Loading {
  /** `keep`: it is on the way, and moves no route. */
  readonly routes: 'keep' | 'move';
  /** Also when nothing seems to differ: servers of the same name point elsewhere. */
  readonly anew: boolean;
  /** A text that is most likely the one to be written. */
  readonly draft: Draft | undefined;
}

/**
 * One round of `applyDesired` by graceful reloads alone, without a command that changes a running
 * worker. As with those, nothing gets traffic that HAProxy has not confirmed: a first reload brings
 * new servers at weight 0 and moves nothing, HAProxy checks them, a second one moves all weights and
 * routes at once. A server that leaves stays in the worker at weight 0 until the next reload.
 * @returns whether file and running worker say `desired` now
 */
export async function roundByReload(
  context: Context,
  desired: DesiredProxy,
  before: Running,
  { written, chroot }: ConfigFile,
  draft: Draft | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<boolean> {
  const wanted = context.switching.waiting(desired, before);
  const confirm = toConfirm(wanted, before);
  const staged = stage(wanted, before, false, written, chroot);
  const cleared = withoutMisplaced(staged ?? wanted, before, written, chroot);
  if (cleared !== undefined) {
    await load(context, cleared, { routes: 'keep', anew: true, draft }, progress, signal);
    return false;
  }
  if (staged !== undefined) {
    const keep = { routes: 'keep', anew: false, draft } as const;
    const { running } = await load(context, staged, keep, progress, signal);
    await confirmed(context, confirm, running.pid, signal);
  }
  const move = { routes: 'move', anew: false, draft } as const;
  const reached = await load(context, wanted, move, progress, signal);
  // Those that came at weight 0: nothing has moved for them.
  if (staged === undefined) await confirmed(context, confirm, reached.running.pid, signal);
  return (await settled(context, wanted, reached, needsReload, signal)) !== undefined;
}

/** Makes the files say `wanted`, and reloads if the running worker says something else. */
async function load(
  context: Context,
  wanted: DesiredProxy,
  { routes, anew, draft }: Loading,
  progress: Progress,
  signal: AbortSignal,
): Promise<Reached> {
  const { options, switching, master } = context;
  const file = await recallConfigFile(options);
  const running = await observeCurrent(context, signal);
  const present = await runningRoutes(context, running, file.folder, signal);
  const goal = renderWith(options, wanted, file);
  const mapsOf = (rendered: Rendered) =>
    rendered.maps !== undefined && routes === 'keep'
      ? carriedMaps(rendered.maps, present, wanted)
      : rendered.maps;
  const wantedMaps = mapsOf(goal);
  const plan = planServers(wanted, running, file.chroot);
  const moves =
    plan.raise.length + plan.lower.length > 0 ||
    (wantedMaps !== undefined &&
      (present === undefined || routeChanges(present, wantedMaps).length > 0));
  const { tls } = goal;
  let renewed =
    tls !== undefined && (await writeTlsFiles(options.configPath, tls, keyMode(context)));
  if (goal.holds && (await writeHoldScript(options.configPath, file))) renewed = true;
  const reshaped = running.shape !== goal.shape;
  const due =
    anew ||
    moves ||
    reshaped ||
    needsReload(plan) ||
    (tls !== undefined &&
      (await differingTls(context, tls, file.folder, running.pid, signal)).length > 0);
  if (due) requireRoom(await showProcesses(master, signal, options.reloadMs), options);
  const loaded = due ? renderWith(options, switching.forReload(wanted, running), file) : goal;
  const maps = mapsOf(loaded);
  // The last look before traffic moves: what is to get its first weight is still up.
  const gaining = toConfirm(wanted, running).filter((one) => plan.raise.some(isSame(one)));
  if (routes === 'move') await confirmed(context, gaining, running.pid, signal);
  if (maps !== undefined && (await writeMaps(options.configPath, maps))) renewed = true;
  if (renewed) {
    draft?.outdate();
    progress.changed = true;
  }
  const text = replaceRegion(file.text, loaded.text);
  if (text !== file.stands) {
    await writeText(context, text, file.stands, draft, signal);
    progress.changed = true;
  }
  const touched = new Set(running.backends.keys());
  if (!due) return { running, touched, text, file, maps, tls };
  const started = performance.now();
  const reloaded = await reload(context, signal);
  progress.changed = true;
  progress.reloaded = true;
  if (moves && routes === 'move') {
    progress.moved = true;
    progress.switchMs += performance.now() - started;
  }
  if (reloaded.shape !== loaded.shape) throw new WorkerChanged();
  return { running: reloaded, touched: new Set(reloaded.backends.keys()), text, file, maps, tls };
}

function isSame({ backend, server }: Target): (other: Target) => boolean {
  return (other) => other.backend === backend && other.server === server;
}
