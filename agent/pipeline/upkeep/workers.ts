import type { OpenConnection } from '../../haproxy/proxy.ts';
import type { Host } from '../host.ts';
import { Pace, shuffled } from '../pace.ts';
import { pause } from '../pause.ts';

/** How often old workers are counted, ms. */
const LOOK_EVERY_MS = 2_000;
const CLOSE_EVERY_MS = { least: 25, spread: 50 };
/** Connections of old workers closed a second, whichever apps they belong to. */
export const WORKERS_PACE = 50;

/**
 * Keeps the number of old HAProxy workers bounded: whoever reloads again and again while clients
 * hold long connections would else fill the memory with workers. While there are as many as may
 * stand, the WebSockets and streams of the oldest are closed at a pace; its requests run to their
 * end. Connections to servers that are not the agent's are never touched.
 */
export async function keepFewWorkers(host: Host, signal: AbortSignal): Promise<void> {
  const pace = new Pace();
  let told = false;
  for (;;) {
    let waitMs = LOOK_EVERY_MS;
    try {
      const open = await surplus(host, signal);
      if (open.length > 0 && !told) tell(host, open);
      told = open.length > 0;
      if (open.length > 0) {
        await closeSome(host, pace, open, signal);
        waitMs = 0;
      }
    } catch (error) {
      signal.throwIfAborted();
      host.log.debug({ err: error }, 'old HAProxy workers cannot be counted');
    }
    await pause(waitMs, signal);
  }
}

/**
 * What is to be closed on the oldest worker that has any of it, of as many workers as are too many:
 * one that has nothing left is about to end, and then the next one may stay.
 */
async function surplus(host: Host, signal: AbortSignal): Promise<readonly OpenConnection[]> {
  const { old, limit } = await host.proxy.oldWorkers(signal);
  for (const worker of old.slice(0, Math.max(0, old.length - limit + 1))) {
    const open = await host.proxy.longConnections(worker, signal);
    if (open.length > 0) return open;
  }
  return [];
}

/** For about one look, so that workers that have ended meanwhile are seen to have. */
async function closeSome(
  host: Host,
  pace: Pace,
  open: readonly OpenConnection[],
  signal: AbortSignal,
): Promise<void> {
  const queue = shuffled(open);
  const until = host.now() + LOOK_EVERY_MS;
  while (queue.length > 0 && host.now() < until) {
    const count = pace.take(WORKERS_PACE, queue.length, host.now());
    const some = queue.splice(0, count);
    if (count > 0) pace.giveBack(count - (await host.proxy.closeConnections(some, signal)));
    await pause(CLOSE_EVERY_MS.least + Math.random() * CLOSE_EVERY_MS.spread, signal);
  }
}

function tell(host: Host, open: readonly OpenConnection[]): void {
  const what = `too many old HAProxy workers: long connections of the oldest (pid ${open[0]?.worker}) are closed, ${WORKERS_PACE} a second`;
  host.journal.tell({ type: 'drift', app: '', deployment: null, what, repaired: true });
}
