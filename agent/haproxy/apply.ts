import { ZddError } from '../protocol/errors.ts';
import { ConfigEdited, readConfig, writeConfig } from './config/file.ts';
import { checkDesired } from './config/names.ts';
import { chrootOf, type WrittenServers, writtenServers } from './config/read.ts';
import { readOrRecall } from './config/recall.ts';
import { findRegion, replaceRegion } from './config/region.ts';
import { type Context, renderWith } from './context.ts';
import {
  isEmpty,
  type Plan,
  planServers,
  stage,
  type Target,
  toConfirm,
  withoutMisplaced,
} from './converge.ts';
import { showProcesses } from './master.ts';
import { type Running, serverOf } from './observe.ts';
import type { Applied, DesiredProxy } from './proxy.ts';
import { reload, requireRoom } from './reload.ts';
import { admit, moveWeights, retire, takeBack } from './steps.ts';
import { observeCurrent, WorkerChanged } from './worker.ts';

/** An admin may reload while we work; more often than this in one apply is no coincidence. */
const MAX_ROUNDS = 6;
/** Undoing must not be cut short by the abort that made it necessary, ms. */
const UNDO_MS = 30_000;

/** What one apply has done so far. */
interface Progress {
  changed: boolean;
  reloaded: boolean;
  switchMs: number;
  /** Traffic has moved: from here on the only way is forward. */
  moved: boolean;
}

/** The file as it stands, and what it says. */
interface ConfigFile {
  readonly text: string;
  /** What really stands there; `''` when the file is gone and `text` is what it said before. */
  readonly stands: string;
  readonly chroot: string | undefined;
  readonly written: WrittenServers;
}

/**
 * Makes file and running worker say `desired`; see `Haproxy.apply`. It looks, acts and looks again,
 * so an admin's reload in the middle, a crash or an earlier half-done apply all end the same way.
 */
export async function applyDesired(
  context: Context,
  desired: DesiredProxy,
  signal: AbortSignal,
): Promise<Applied> {
  const progress: Progress = { changed: false, reloaded: false, switchMs: 0, moved: false };
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    try {
      if (await oneRound(context, desired, progress, signal)) {
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
  progress: Progress,
  signal: AbortSignal,
): Promise<boolean> {
  const { options } = context;
  const file = await readFileOf(context);
  checkDesired(desired, file.chroot);
  const before = await observeCurrent(context, signal);
  const shape = renderWith(options, desired, file.chroot).shape;
  if (shape !== before.shape) {
    requireRoom(await showProcesses(context.master, signal, options.reloadMs), options);
  }
  const confirm = toConfirm(desired, before);
  const staged = stage(desired, before, shape !== before.shape, file.written, file.chroot);
  const cleared = withoutMisplaced(staged ?? desired, before, file.written, file.chroot);
  try {
    if (cleared !== undefined) {
      const present = confirm.filter(({ backend, server }) => serverOf(before, backend, server));
      await reach(context, cleared, { confirm: [], evict: present }, progress, signal);
      return false;
    }
    if (staged !== undefined) {
      await reach(context, staged, { confirm, evict: [] }, progress, signal);
    }
    const last = { confirm: staged === undefined ? confirm : [], evict: [] };
    const running = await reach(context, desired, last, progress, signal);
    return await settled(context, desired, running, signal);
  } catch (error) {
    if (!progress.moved && !isInterference(error)) {
      await undo(context, file.text, before, error);
    }
    throw error;
  }
}

/** One state in the order: file, reload if only that helps, servers in, weights, servers out. */
async function reach(
  context: Context,
  desired: DesiredProxy,
  extra: { readonly confirm: readonly Target[]; readonly evict: readonly Target[] },
  progress: Progress,
  signal: AbortSignal,
): Promise<Running> {
  const { options } = context;
  const file = await readFileOf(context);
  const rendered = renderWith(options, desired, file.chroot);
  const text = replaceRegion(file.text, rendered.text);
  if (text !== file.stands) {
    await writeConfig(options.configPath, text, options.binary, signal, file.stands);
    progress.changed = true;
  }
  let running = await observeCurrent(context, signal);
  if (running.shape !== rendered.shape) {
    running = await reload(context, signal);
    progress.changed = true;
    progress.reloaded = true;
    if (running.shape !== rendered.shape) throw new WorkerChanged();
  }
  const plan = planServers(desired, running, file.chroot);
  if (!isEmpty(plan) || extra.confirm.length > 0) {
    running = await admit(context, plan, extra.confirm, desired, file.chroot, running.pid, signal);
    const moved = await moveWeights(
      context,
      plan,
      running.pid,
      () => {
        progress.moved = true;
      },
      signal,
    );
    progress.switchMs += moved;
    await retire(context, plan, running.pid, signal);
    progress.changed ||= acts(plan, running);
  }
  if (extra.evict.length > 0) {
    running = await observeCurrent(context, signal);
    // A namesake with connections cannot be deleted; a new worker starts without it.
    if (extra.evict.some(({ backend, server }) => serverOf(running, backend, server))) {
      running = await reload(context, signal);
      progress.reloaded = true;
    }
  }
  return running;
}

/** Whether a plan is more than servers that could not be deleted yet. */
function acts(plan: Plan, running: Running): boolean {
  const { remove, ...rest } = plan;
  return (
    Object.values(rest).some((steps: readonly unknown[]) => steps.length > 0) ||
    remove.some(({ backend, server }) => serverOf(running, backend, server)?.admin !== 'maint')
  );
}

/** Whether it is still so, on the worker that the master says is the current one. */
async function settled(
  context: Context,
  desired: DesiredProxy,
  reached: Running,
  signal: AbortSignal,
): Promise<boolean> {
  // A reload that has begun shows here: the master does not answer until its new worker exists.
  const { current } = await showProcesses(context.master, signal, context.options.reloadMs);
  const running = await observeCurrent(context, signal);
  if (current?.pid !== running.pid || running.pid !== reached.pid) return false;
  const file = await readFileOf(context);
  const rendered = renderWith(context.options, desired, file.chroot);
  return (
    running.shape === rendered.shape &&
    replaceRegion(file.text, rendered.text) === file.stands &&
    !acts(planServers(desired, running, file.chroot), running)
  );
}

/** Nothing has moved yet: what came goes, and the file says again what it said. */
async function undo(
  context: Context,
  text: string,
  before: Running,
  reason: unknown,
): Promise<void> {
  const { options } = context;
  const signal = AbortSignal.timeout(UNDO_MS);
  options.log('debug', 'haproxy: taking back what was prepared', { reason: String(reason) });
  try {
    const now = await readConfig(options.configPath);
    // Our region only: what an admin wrote beside it meanwhile stays.
    const was = findRegion(text);
    const is = findRegion(now ?? '');
    const restored = was && is ? `${is.before}${was.region}${is.after}` : text;
    if (now !== restored) await writeConfig(options.configPath, restored, options.binary, signal);
    const running = await observeCurrent(context, signal);
    if (running.shape !== before.shape) await reload(context, signal, { force: true });
    else await takeBack(context, before, running, signal);
  } catch (error) {
    // The first error is the one to tell; the next apply puts right what is left.
    options.log('error', 'haproxy: could not take everything back', { error: String(error) });
  }
}

function isInterference(error: unknown): boolean {
  return error instanceof WorkerChanged || error instanceof ConfigEdited;
}

async function readFileOf({ options }: Context): Promise<ConfigFile> {
  const { text, stands } = await readOrRecall(options);
  const cut = findRegion(text);
  return {
    text,
    stands,
    chroot: chrootOf(cut === undefined ? text : cut.before + cut.after),
    written: writtenServers(cut?.region ?? ''),
  };
}
