import { relative, sep } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import type { Logger } from 'pino';
import { isTemporary } from './judge.ts';
import { DropPlace } from './places.ts';

/** A file is looked at when it has not grown for this long, ms. */
const SETTLE_MS = 2_000;
/** Where the kernel cannot tell, the folder is looked at this often, ms. */
const POLL_MS = 2_000;

/**
 * Calls `arrived` for whatever was put into the folder of an app, also before the watch began, once
 * it has ceased to grow; again when it has changed since.
 * @returns ends the watch
 */
export function watchDrops(
  incoming: string,
  log: Logger,
  arrived: (path: string) => void,
): () => Promise<void> {
  let watcher: FSWatcher;
  let closed = false;

  function begin(backend: 'native' | 'polling'): FSWatcher {
    const begun = watch(incoming, {
      backend,
      pollingInterval: POLL_MS,
      depth: 1,
      followSymlinks: false,
      atomic: false,
      ignorePermissionErrors: true,
      awaitWriteFinish: { stabilityThreshold: SETTLE_MS, pollInterval: 100 },
      ignored: (path) => {
        const [, name] = relative(incoming, path).split(sep);
        return name !== undefined && (DropPlace.isOwn(name) || isTemporary(name));
      },
    });
    begun.on('add', arrived).on('change', arrived).on('addDir', arrived);
    begun.on('error', (error) => {
      log.error({ err: error }, 'the drop folder cannot be watched');
      // Other programs have taken all of the kernel's watches: look for oneself, or miss files.
      if (backend === 'polling' || closed || watcher !== begun) return;
      void begun.close();
      watcher = begin('polling');
    });
    return begun;
  }

  watcher = begin('native');
  return () => {
    closed = true;
    return watcher.close();
  };
}
