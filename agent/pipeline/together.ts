/**
 * Does two things at once. The first that fails ends the other, and is what is thrown when both have
 * ended.
 */
export async function together<T>(
  signal: AbortSignal,
  main: (signal: AbortSignal) => Promise<T>,
  beside: (signal: AbortSignal) => Promise<void>,
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
  const [done] = await Promise.allSettled([watched(main(both)), watched(beside(both))]);
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
  if (done.status === 'rejected') throw done.reason;
  return done.value;
}
