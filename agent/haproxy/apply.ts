import { ZddError } from '../protocol/errors.ts';
import { roundByReload } from './apply-by-reload.ts';
import { ConfigEdited, type Draft } from './config/draft.ts';
import { carriedMaps, MAP_NAMES } from './config/maps.ts';
import { checkDesired } from './config/names.ts';
import { replaceRegion } from './config/region.ts';
import { type ConfigFile, recallConfigFile, writeHoldScript, writeMaps } from './config-file.ts';
import { type Context, renderWith } from './context.ts';
import {
  isEmpty,
  planServers,
  stage,
  type Target,
  toConfirm,
  withoutMisplaced,
} from './converge.ts';
import type { DesiredProxy } from './desired.ts';
import { draftOf, writeText } from './drafting.ts';
import { lookFor } from './look.ts';
import { showProcesses } from './master.ts';
import { type Running, serverOf } from './observe.ts';
import type { Applied } from './proxy.ts';
import { reload, requireRoom } from './reload.ts';
import { acts, type Progress, type Reached, runningRoutes, settled } from './settled.ts';
import { admit, moveTraffic, retire } from './steps.ts';
import { keyMode, makeTlsTrue } from './tls/converge.ts';
import { writeTlsFiles } from './tls/files.ts';
import { undo } from './undo.ts';
import { observeCurrent, switchesBy, WorkerChanged } from './worker.ts';

/** An admin may reload while we work; more often than this in one apply is no coincidence. */
const MAX_ROUNDS = 6;

/** What `reach` does beside making the servers so. */
interface Extra {
  /** Servers that HAProxy must have checked before anything moves. */
  readonly confirm: readonly Target[];
  /** Namesakes that must be gone. */
  readonly evict: readonly Target[];
  /** `keep`: the state on the way moves no route. */
  readonly routes: 'keep' | 'move';
  /** What runs and stands there, when it was looked at just now: dear on a host with many apps. */
  readonly present?: { readonly running: Running; readonly file: ConfigFile } | undefined;
  /** A text that is most likely the one to be written. */
  readonly draft: Draft | undefined;
}

/**
 * Makes file and running worker say `desired`; see `Haproxy.apply`. It looks, acts and looks again,
 * so an admin's reload in the middle, a crash or an earlier half-done apply all end the same way.
 * @param app whose change it is: see `lookFor`
 */
export async function applyDesired(
  context: Context,
  desired: DesiredProxy,
  signal: AbortSignal,
  app?: string,
): Promise<Applied> {
  const progress: Progress = { changed: false, reloaded: false, switchMs: 0, moved: false };
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    try {
      if (await oneRound(context, desired, app, progress, signal)) {
        const { changed, reloaded, switchMs } = progress;
        return { changed, reloaded, switchMs };
      }
    } catch (error) {
      if (!isInterference(error)) throw error;
      context.options.log(
        'warn',
        'haproxy was reloaded or its file edited meanwhile; looking again',
        {},
      );
    }
  }
  throw new ZddError(
    'ZDD_HAPROXY_RELOAD_FAILED',
    'HAProxy does not come to rest: something else keeps changing or reloading it.',
    { tries: ['systemctl status haproxy', 'zdd-agent doctor'] },
  );
}

/** @returns whether file and running worker say `desired` now */
async function oneRound(
  context: Context,
  desired: DesiredProxy,
  app: string | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<boolean> {
  const file = await recallConfigFile(context.options);
  checkDesired(desired, file.chroot);
  const draft = draftOf(context, desired, file, signal);
  try {
    return await roundFrom(context, desired, app, file, draft, progress, signal);
  } finally {
    await draft?.discard();
  }
}

async function roundFrom(
  context: Context,
  desired: DesiredProxy,
  app: string | undefined,
  file: ConfigFile,
  draft: Draft | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<boolean> {
  const { options, known } = context;
  const { running: seen } = known;
  // Nothing is known again until this has come to its end.
  known.running = undefined;
  const { shape } = renderWith(options, desired, file);
  let before = await lookFor(context, app, desired, shape, seen, file.chroot, signal);
  if ((await switchesBy(context, before, signal)) === 'reload') {
    before = await observeCurrent(context, signal);
    try {
      return await roundByReload(context, desired, before, file, draft, progress, signal);
    } catch (error) {
      if (!progress.moved && !isInterference(error)) {
        await undo(context, file, before, 'reload', error);
      }
      throw error;
    }
  }
  if (shape !== before.shape) {
    requireRoom(await showProcesses(context.master, signal, options.reloadMs), options);
  }
  const confirm = toConfirm(desired, before);
  const staged = stage(desired, before, shape !== before.shape, file.written, file.chroot);
  const cleared = withoutMisplaced(staged ?? desired, before, file.written, file.chroot);
  try {
    if (cleared !== undefined) {
      const present = confirm.filter(({ backend, server }) => serverOf(before, backend, server));
      await reach(
        context,
        cleared,
        { confirm: [], evict: present, routes: 'keep', draft },
        progress,
        signal,
      );
      return false;
    }
    let present: Extra['present'] = { running: before, file };
    if (staged !== undefined) {
      present = undefined;
      const extra = { confirm, evict: [], routes: 'keep', draft } as const;
      await reach(context, staged, extra, progress, signal);
    }
    const left = staged === undefined ? confirm : [];
    const last = { confirm: left, evict: [], routes: 'move', present, draft } as const;
    const reached = await reach(context, desired, last, progress, signal);
    const settledOn = await settled(context, desired, reached, acts, signal);
    if (settledOn === undefined) return false;
    const { near: _, ...whole } = settledOn;
    known.running = whole;
    return true;
  } catch (error) {
    if (!progress.moved && !isInterference(error)) {
      await undo(context, file, before, 'runtime', error);
    }
    throw error;
  }
}

/**
 * One state in the order: files, reload if only that helps, servers in, weights and routes, servers
 * out. The files always fit each other: a map names a backend only while the configuration has it.
 */
async function reach(
  context: Context,
  desired: DesiredProxy,
  extra: Extra,
  progress: Progress,
  signal: AbortSignal,
): Promise<Reached> {
  const { options } = context;
  const file = extra.present?.file ?? (await recallConfigFile(options));
  const rendered = renderWith(options, desired, file);
  const { maps, tls } = rendered;
  let running = extra.present?.running ?? (await observeCurrent(context, signal));
  // What the configuration names is there before it is.
  let renewed = false;
  if (maps !== undefined && (running.shape !== rendered.shape || !hasMaps(file))) {
    const present = await runningRoutes(context, running, file.folder, signal);
    const carried = carriedMaps(maps, present, desired);
    if (await writeMaps(options.configPath, carried)) renewed = true;
  }
  if (rendered.holds && (await writeHoldScript(options.configPath, file))) renewed = true;
  if (tls !== undefined && (await writeTlsFiles(options.configPath, tls, keyMode(context)))) {
    renewed = true;
  }
  if (renewed) {
    extra.draft?.outdate();
    progress.changed = true;
  }
  const text = replaceRegion(file.text, rendered.text);
  if (text !== file.stands) {
    await writeText(context, text, file.stands, extra.draft, signal);
    progress.changed = true;
    running = await stillRunning(context, running, signal);
  }
  if (running.shape !== rendered.shape) {
    running = await reload(context, signal);
    progress.changed = true;
    progress.reloaded = true;
    if (running.shape !== rendered.shape) throw new WorkerChanged();
  }
  const routes =
    maps === undefined || extra.routes === 'keep' ? undefined : { folder: file.folder, maps };
  if (routes !== undefined && (await writeMaps(options.configPath, routes.maps))) {
    progress.changed = true;
  }
  const plan = planServers(desired, running, file.chroot);
  if (!isEmpty(plan) || extra.confirm.length > 0 || routes !== undefined) {
    running = await admit(context, plan, extra.confirm, desired, file.chroot, running, signal);
    const moved = await moveTraffic(
      context,
      plan,
      routes,
      running.pid,
      () => {
        progress.moved = true;
      },
      signal,
    );
    progress.switchMs += moved;
    await retire(context, plan, running, signal);
    progress.changed ||= moved > 0 || acts(plan, running);
  }
  if (extra.evict.length > 0) {
    running = await observeCurrent(context, signal);
    // A namesake with connections cannot be deleted; a new worker starts without it.
    if (extra.evict.some(({ backend, server }) => serverOf(running, backend, server))) {
      running = await reload(context, signal);
      progress.reloaded = true;
    }
  }
  if (tls !== undefined) {
    const done = await makeTlsTrue(context, tls, file.folder, running.pid, signal);
    progress.changed ||= done !== 'nothing';
    progress.reloaded ||= done === 'reloaded';
  }
  const touched = new Set(Object.values(plan).flatMap(backendsIn));
  return { running, touched, text, file, maps, tls };
}

function backendsIn(steps: readonly Target[]): readonly string[] {
  return steps.map(({ backend }) => backend);
}

function hasMaps({ maps }: ConfigFile): boolean {
  return MAP_NAMES.every((name) => maps[name] !== undefined);
}

/** What runs now: to write the file took a while, in which somebody may have reloaded. */
async function stillRunning(
  context: Context,
  running: Running,
  signal: AbortSignal,
): Promise<Running> {
  const { current } = await showProcesses(context.master, signal, context.options.reloadMs);
  return current?.pid === running.pid ? running : observeCurrent(context, signal);
}

function isInterference(error: unknown): boolean {
  return error instanceof WorkerChanged || error instanceof ConfigEdited;
}
