/** A deadline that movement puts off, joined with the signal of whoever asked. */
export interface Watch {
  /** Aborted when the deadline has passed, or with the reason of whoever asked. */
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  /** It was the deadline, and not whoever asked. */
  readonly expired: boolean;
  /** Something has moved: the deadline begins anew. */
  touch(): void;
  /** There is no deadline any more; whoever asked may still end it. */
  disarm(): void;
  /** Nothing is waited for any more. */
  stop(): void;
}

/** @param deadlineMs may be infinite */
export function watchdog(deadlineMs: number, outer: AbortSignal | undefined): Watch {
  const controller = new AbortController();
  let expired = false;
  const timer = Number.isFinite(deadlineMs)
    ? setTimeout(() => {
        expired = true;
        controller.abort();
      }, deadlineMs)
    : undefined;
  const follow = () => controller.abort(outer?.reason);
  if (outer?.aborted) follow();
  else outer?.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    deadlineMs,
    get expired() {
      return expired;
    },
    touch: () => {
      if (!expired) timer?.refresh();
    },
    disarm: () => clearTimeout(timer),
    stop() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', follow);
    },
  };
}
