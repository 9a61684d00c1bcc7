import { setTimeout as sleep } from 'node:timers/promises';

/** Waits `ms`, or throws as soon as `signal` ends the work this is a part of. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}

/**
 * Does `work` until it succeeds: for the ways out that have no other way out. The pause between
 * tries doubles from 200 ms to 5 s.
 */
export async function untilDone<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<T> {
  for (let waitMs = 200; ; waitMs = Math.min(waitMs * 2, 5_000)) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      onFailure(error);
      await pause(waitMs, signal);
    }
  }
}
