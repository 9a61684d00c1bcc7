import type { Readable } from 'node:stream';
import { corrupt } from './errors.ts';

/**
 * The chunks of an upload, with an end to waiting for each. Leaves the stream as it is when it ends.
 * @param idleMs how long a chunk may take
 * @param progress says how far the upload is, for errors
 * @throws ZDD_ARTIFACT_CORRUPT, or the signal's reason
 */
export async function* chunksOf(
  stream: Readable,
  signal: AbortSignal,
  idleMs: number,
  progress: () => string,
): AsyncGenerator<Buffer, void, undefined> {
  const iterator = stream.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const next = await orGiveUp(iterator.next(), signal, idleMs, progress);
      if (next.done) return;
      yield Buffer.isBuffer(next.value) ? next.value : Buffer.from(next.value);
    }
  } finally {
    // Not awaited: while a chunk is outstanding it would wait for that chunk.
    iterator.return?.().catch(() => undefined);
  }
}

async function orGiveUp<T>(
  next: Promise<T>,
  signal: AbortSignal,
  idleMs: number,
  progress: () => string,
): Promise<T> {
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  const timer = setTimeout(
    () => reject(corrupt(`the upload stood still for ${idleMs} ms after ${progress()}`)),
    idleMs,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return await Promise.race([
      next.catch((error: unknown) => {
        signal.throwIfAborted();
        throw corrupt(`the upload broke off after ${progress()}`, error);
      }),
      givenUp,
    ]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
