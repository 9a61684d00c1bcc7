import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ZddError } from '../../protocol/errors.ts';
import { SHADOW_RING, shadowTable, WHOLE_SHARE } from '../config/shadow.ts';
import type { Context } from '../context.ts';
import { onCurrentWorker } from '../worker.ts';
import { type MirrorOptions, readCopy } from './line.ts';

/** How often the share is renewed, ms: several times before it would end by itself. */
const RENEW_MS = 1_000;
/** The least time between two readers, ms: one that is closed at once must not be made anew at once. */
const REOPEN_MS = 50;
/** How long a step may take before it is tried again, ms. */
const STEP_MS = 2_000;
/** A longer line is none of ours. */
const MAX_PENDING = 64 * 1024;

/**
 * Has a share of an app's live requests copied until `signal` ends it. HAProxy writes them to a ring,
 * which is read through the admin socket. Who does not read, or is gone, is not waited for: the ring
 * is overwritten, and the share ends by itself within seconds.
 * @throws what kept it from beginning at all, at the end: all but a refusal is tried again
 */
export async function mirror(
  context: Context,
  { app, share, seen }: MirrorOptions,
  signal: AbortSignal,
): Promise<void> {
  const { table, key } = shadowTable(app);
  const sides = Math.max(1, Math.round(share * WHOLE_SHARE));
  let tap: Tap | undefined;
  let failure: unknown;
  try {
    while (!signal.aborted) {
      const step = AbortSignal.any([signal, AbortSignal.timeout(STEP_MS)]);
      try {
        const worker = await onCurrentWorker(context, step, async ({ ask, order }, pid) => {
          if ((await context.switching.by({ ask }, pid)) === 'reload') throw takesNoCommands();
          if (tap?.worker !== pid || tap.ended) {
            tap?.close();
            tap = await openTap(context.admin.path, step, (line) => take(app, line, seen));
          }
          await order(`set table ${table} key ${key} data.gpc0 ${sides}`);
          return pid;
        });
        // One that has reached a worker which goes is opened anew in the next turn.
        if (tap?.worker === worker) failure = undefined;
      } catch (error) {
        // What HAProxy may not be told it will not be told later either.
        if (error instanceof ZddError && error.code === 'ZDD_HAPROXY_COMMAND') throw error;
        failure ??= error;
      }
      await untilNextTurn(tap, signal);
    }
  } finally {
    tap?.close();
    const last = AbortSignal.timeout(STEP_MS);
    await onCurrentWorker(context, last, ({ ask }) => ask(`clear table ${table} key ${key}`)).catch(
      () => undefined,
    );
  }
  if (failure !== undefined && tap === undefined) throw failure;
}

/** Waits until the share is to be renewed, or the reader has ended. */
async function untilNextTurn(tap: Tap | undefined, signal: AbortSignal): Promise<void> {
  const turn = new AbortController();
  const ending = AbortSignal.any([signal, turn.signal]);
  const wait = (ms: number): Promise<void> =>
    sleep(ms, undefined, { signal: ending }).catch(() => undefined);
  await Promise.race([wait(RENEW_MS), ...(tap === undefined ? [] : [tap.end])]);
  if (tap?.ended === true) await wait(REOPEN_MS);
  turn.abort();
}

function takesNoCommands(): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_COMMAND',
    'requests can be copied only where HAProxy takes commands (haproxy.switch: runtime)',
    { tries: ['zdd-agent doctor'] },
  );
}

function take(app: string, line: string, seen: MirrorOptions['seen']): void {
  const copy = readCopy(app, line);
  if (copy !== undefined) seen(copy);
}

/** A reader of the ring of one worker. */
interface Tap {
  readonly worker: number;
  readonly ended: boolean;
  readonly end: Promise<void>;
  close(): void;
}

/**
 * Reads what is written to the ring from now on. HAProxy closes the connection when nothing has been
 * written for some seconds (`stats timeout`).
 * @throws Error when it does not begin
 */
async function openTap(
  path: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<Tap> {
  const socket = connect(path);
  const began = Promise.withResolvers<number>();
  const end = Promise.withResolvers<void>();
  let worker: number | undefined;
  let ended = false;
  let rest = '';
  const line = (text: string): void => {
    if (worker === undefined) {
      const pid = /^Pid: (\d+)/.exec(text)?.[1];
      if (pid === undefined) return;
      worker = Number(pid);
      began.resolve(worker);
    } else onLine(text);
  };
  const onAbort = (): void => {
    if (worker === undefined) socket.destroy();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const each of lines) line(each);
    if (rest.length > MAX_PENDING) socket.destroy();
  });
  socket.on('error', (error) => began.reject(error));
  socket.on('close', () => {
    ended = true;
    began.reject(new Error('HAProxy closed its admin socket'));
    end.resolve();
  });
  // Two commands of one connection, so that it is known which worker's ring this is.
  socket.write(`show info; show events ${SHADOW_RING} -w -n\n`);
  try {
    const found = await began.promise;
    return {
      worker: found,
      get ended() {
        return ended;
      },
      end: end.promise,
      close: () => socket.destroy(),
    };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
