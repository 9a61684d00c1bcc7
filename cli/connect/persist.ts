import { setTimeout as pause } from 'node:timers/promises';
import type { Connection } from './connection.ts';
import { passes } from './follow.ts';

/** How long a way may stay cut before the error is passed on, ms. */
const OUTAGE_MS = 60_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Does what may be done again, again, when the way to the agent was cut in between. A local socket
 * is not cut: what fails there fails at once.
 * @param work safe to repeat: the agent holds at most one copy of what it does
 * @throws what `work` throws, once it failed for `OUTAGE_MS` or waiting cannot mend it
 */
export async function persistently<T>(
  connection: Pick<Connection, 'canBeCut'>,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  let since: number | null = null;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const started = Date.now();
    try {
      return await work();
    } catch (cause) {
      signal.throwIfAborted();
      if (!connection.canBeCut || !passes(cause)) throw cause;
      // Work that went on for a while was no part of the outage that ends it.
      if (since === null || Date.now() - started > OUTAGE_MS) since = Date.now();
      if (Date.now() - since > OUTAGE_MS) throw cause;
      await pause(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
