import { setTimeout as timer } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly everyMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks `condition` until it gives a value.
 * @returns that value, or undefined when `timeoutMs` have passed
 * @throws the reason of `signal`
 */
export async function waitFor<T>(
  condition: () => T | undefined,
  { timeoutMs, everyMs, signal }: WaitOptions,
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const value = condition();
    if (value !== undefined) return value;
    const left = deadline - performance.now();
    if (left <= 0) return undefined;
    await pause(Math.min(everyMs, left), signal);
  }
}

/** Resolves after `ms`, or earlier when `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await timer(ms, undefined, { signal }).catch(() => {});
}

/**
 * `work`, but no longer than `signal` allows; the work itself goes on.
 * @throws the reason of `signal`
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Whoever no longer waits must not leave a failure that nobody handles.
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
