/**
 * Does something, and others beside it. The first that fails ends all, and is what is thrown when
 * they have ended.
 * @param beside each is told by `done` that the main thing has come to its end
 */
export async function together<T>(
  signal: AbortSignal,
  main: (signal: AbortSignal) => Promise<T>,
  ...beside: ReadonlyArray<(signal: AbortSignal, done: AbortSignal) => Promise<void>>
): Promise<T> {
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const watched = async <R>(work: Promise<R>): Promise<R> => {
    try {
      return await work;
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  const finished = new AbortController();
  const [done] = await Promise.allSettled([
    watched(main(both)).finally(() => finished.abort()),
    ...beside.map((work) => watched(work(both, finished.signal))),
  ]);
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
  if (done.status === 'rejected') throw done.reason;
  return done.value;
}
