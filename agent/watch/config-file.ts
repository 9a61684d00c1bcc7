import { basename, dirname } from 'node:path';
import { watch } from 'chokidar';
import type { Logger } from 'pino';

/** An editor writes in several steps; the file is read when it has not grown for this long, ms. */
const SETTLE_MS = 500;

/**
 * Calls `changed` each time `agent.yaml` has been written, replaced or put back.
 * @returns ends the watch
 */
export function watchConfigFile(
  file: string,
  log: Logger,
  changed: () => void,
): () => Promise<void> {
  const name = basename(file);
  // The folder, because an editor replaces the file: the one that was watched would be gone.
  const watcher = watch(dirname(file), {
    depth: 0,
    ignored: (path) => path !== dirname(file) && basename(path) !== name,
    ignoreInitial: true,
    ignorePermissionErrors: true,
    awaitWriteFinish: { stabilityThreshold: SETTLE_MS, pollInterval: 50 },
  });
  // Not when it goes: no file would mean all defaults, and some editors remove before they write.
  watcher.on('add', changed).on('change', changed);
  watcher.on('error', (error) => {
    log.error({ err: error }, 'the folder of agent.yaml cannot be watched');
  });
  return () => watcher.close();
}
