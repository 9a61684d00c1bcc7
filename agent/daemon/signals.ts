import { ZddError } from '../protocol/errors.ts';

/** What the daemon is told by signals, from its first moment on. */
export interface Signals {
  /** SIGTERM or SIGINT has come. Its reason is an error that clients understand. */
  readonly stop: AbortSignal;
  /** Runs at each SIGHUP, one after the other; several that come meanwhile are one. */
  onReload(work: () => Promise<void>): void;
  /** As a SIGHUP. */
  reload(): void;
}

/** Takes the signals; one that comes before somebody cares is kept. */
export function takeSignals(): Signals {
  const stopping = new AbortController();
  const stop = (): void => {
    stopping.abort(
      new ZddError('ZDD_AGENT_BUSY', 'the agent is stopping', {
        traffic: 'unchanged; apps run on',
        tries: ['zdd-agent status        once it is back'],
      }),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  let wanted = false;
  let running = false;
  let work: (() => Promise<void>) | null = null;
  const run = async (): Promise<void> => {
    if (running || work === null) return;
    running = true;
    while (wanted && !stopping.signal.aborted) {
      wanted = false;
      await work();
    }
    running = false;
  };
  const reload = (): void => {
    wanted = true;
    void run();
  };
  process.on('SIGHUP', reload);
  return {
    stop: stopping.signal,
    reload,
    onReload(given) {
      work = given;
      void run();
    },
  };
}
