import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../protocol/errors.ts';
import type { Context } from './context.ts';
import { askWorker, showProcesses } from './master.ts';
import { observeOn, type Running } from './observe.ts';
import type { SwitchBy } from './proxy.ts';
import { CommandRefused } from './refusal.ts';
import { type Conversation, conversationOf, converse, isSocketGone } from './runtime.ts';
import { type Processes, parseInfo } from './tables.ts';

/** Another worker is the current one than the plan was made for: look again. */
export class WorkerChanged extends Error {
  constructor() {
    super('HAProxy was reloaded meanwhile');
  }
}

const RETRY_MS = 5;
/** A reload keeps the master's socket shut for up to 100 ms. */
const NO_ADMIN_MS = 500;
const MAX_CHANGES = 10;

/**
 * Talks to this worker on the admin socket. For some milliseconds after a reload the old worker
 * still takes connections there (measured on 2.6.12); what it is told is lost with it, so each
 * connection asks first who answers.
 * @throws WorkerChanged when this worker is not, or while talking ceases to be, the current one;
 *   ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function onWorker<T>(
  context: Context,
  pid: number,
  signal: AbortSignal,
  talk: (conversation: Conversation) => Promise<T>,
): Promise<T> {
  const { admin, master } = context;
  const until = performance.now() + admin.commandMs;
  for (;;) {
    const said = await converse(admin, signal, async (conversation) => {
      const found = parseInfo(await conversation.ask('show info'));
      return found.pid === pid ? { value: await talk(conversation) } : undefined;
    }).catch(async (error: unknown) => {
      if (isSocketGone(error)) return { value: await throughMaster(context, pid, signal, talk) };
      // A worker that was told to go while we spoke to it.
      if (error instanceof CommandRefused && error.refusal === 'proxy_disabled') {
        throw new WorkerChanged();
      }
      throw error;
    });
    if (said !== undefined) return said.value;
    const { current } = await showProcesses(master, signal, context.options.reloadMs);
    if (current?.pid !== pid) throw new WorkerChanged();
    if (performance.now() > until) {
      throw new ZddError('ZDD_HAPROXY_TIMEOUT', 'The current HAProxy worker does not answer.', {
        evidence: [
          ['worker', String(pid)],
          ['socket', admin.path],
        ],
        tries: ['systemctl status haproxy'],
      });
    }
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/**
 * The way to a worker whose admin socket was removed by somebody: HAProxy makes it again only when it
 * is restarted, a reload hands the old listener on (measured on 2.6.12).
 */
async function throughMaster<T>(
  { master }: Context,
  pid: number,
  signal: AbortSignal,
  talk: (conversation: Conversation) => Promise<T>,
): Promise<T> {
  const said = await askWorker(master, pid, signal, async (ask) => ({
    value: await talk(conversationOf(ask)),
  }));
  if (said === undefined) throw new WorkerChanged();
  return said.value;
}

/**
 * Asks the worker behind the admin socket, or, when that is gone, this one.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
async function askNear<T>(
  { admin, master }: Pick<Context, 'admin' | 'master'>,
  pid: number,
  signal: AbortSignal,
  talk: (conversation: Pick<Conversation, 'ask'>) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await converse(admin, signal, talk);
  } catch (error) {
    if (!isSocketGone(error)) throw error;
    return await askWorker(master, pid, signal, (ask) => talk({ ask }));
  }
}

/** What the worker there has. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT */
export function observeNear(
  context: Pick<Context, 'admin' | 'master'>,
  pid: number,
  signal: AbortSignal,
): Promise<Running | undefined> {
  return askNear(context, pid, signal, observeOn);
}

/** Whether this worker is the one that answers there. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT */
export async function isNear(
  context: Pick<Context, 'admin' | 'master'>,
  pid: number,
  signal: AbortSignal,
): Promise<boolean> {
  const info = await askNear(context, pid, signal, ({ ask }) => ask('show info'));
  return info !== undefined && parseInfo(info).pid === pid;
}

/**
 * Talks to the worker that the master says is the current one. `talk` may run more than once: let
 * it only read, or be idempotent.
 * @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function onCurrentWorker<T>(
  context: Context,
  signal: AbortSignal,
  talk: (conversation: Conversation, pid: number) => Promise<T>,
): Promise<T> {
  return untilOneStays(async () => {
    const { current } = await processesUnlessDown(context, signal);
    if (current === undefined) throw noneStays();
    const { pid } = current;
    return await onWorker(context, pid, signal, (conversation) => talk(conversation, pid));
  });
}

/**
 * Does again what met a reload: a look that asks more than once must meet one worker all along.
 * @throws ZDD_HAPROXY_DOWN when worker after worker goes; what `look` throws but WorkerChanged
 */
export async function untilOneStays<T>(look: () => Promise<T>): Promise<T> {
  for (let changes = 0; changes < MAX_CHANGES; changes += 1) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof WorkerChanged)) throw error;
    }
  }
  throw noneStays();
}

function noneStays(): ZddError {
  return new ZddError('ZDD_HAPROXY_DOWN', 'HAProxy has no worker that stays.', {
    tries: ['systemctl status haproxy'],
  });
}

/**
 * The process table, waited for through a reload. A HAProxy that is down is told from one that
 * reloads by its admin socket, which never refuses meanwhile, so that nobody waits for the dead.
 */
async function processesUnlessDown(context: Context, signal: AbortSignal): Promise<Processes> {
  try {
    return await showProcesses(context.master, signal, 0);
  } catch (error) {
    if (!(error instanceof ZddError) || error.code !== 'ZDD_HAPROXY_DOWN') throw error;
    try {
      await converse(context.admin, signal, ({ ask }) => ask('show info'));
    } catch (gone) {
      // Without an admin socket only a master that stays away is down.
      if (!isSocketGone(gone)) throw gone;
      return await showProcesses(context.master, signal, NO_ADMIN_MS);
    }
    return showProcesses(context.master, signal, context.options.reloadMs);
  }
}

/**
 * How traffic moves on this worker.
 * @throws WorkerChanged, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT
 */
export async function switchesBy(
  context: Context,
  { pid }: Pick<Running, 'pid'>,
  signal: AbortSignal,
): Promise<SwitchBy> {
  return onWorker(context, pid, signal, (conversation) => context.switching.by(conversation, pid));
}

/** What the current worker is and has. @throws ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT */
export function observeCurrent(context: Context, signal: AbortSignal): Promise<Running> {
  return onCurrentWorker(context, signal, observeOn);
}
