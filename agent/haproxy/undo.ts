import { writeConfig } from './config/draft.ts';
import { readConfig, writeBeside } from './config/file.ts';
import { MAP_NAMES, mapPath } from './config/maps.ts';
import { findRegion } from './config/region.ts';
import type { ConfigFile } from './config-file.ts';
import type { Context } from './context.ts';
import type { Running } from './observe.ts';
import type { SwitchBy } from './proxy.ts';
import { reload } from './reload.ts';
import { takeBack } from './steps.ts';
import { observeCurrent } from './worker.ts';

/** Undoing must not be cut short by the abort that made it necessary, ms. */
const UNDO_MS = 30_000;

/** Nothing has moved yet: what came goes, and the file says again what it said. */
export async function undo(
  context: Context,
  file: ConfigFile,
  before: Running,
  by: SwitchBy,
  reason: unknown,
): Promise<void> {
  const { options } = context;
  const signal = AbortSignal.timeout(UNDO_MS);
  options.log('debug', 'haproxy: taking back what was prepared', { reason: String(reason) });
  try {
    const now = await readConfig(options.configPath);
    // Our region only: what an admin wrote beside it meanwhile stays.
    const is = findRegion(now ?? '');
    const restored = file.cut && is ? `${is.before}${file.cut.region}${is.after}` : file.text;
    if (now !== restored) await writeConfig(options.configPath, restored, options.binary, signal);
    for (const name of MAP_NAMES) {
      const path = mapPath(file.folder, name);
      const said = file.maps[name];
      if (said !== undefined && said !== (await readConfig(path))) {
        await writeBeside(options.configPath, path, said);
      }
    }
    const running = await observeCurrent(context, signal);
    if (running.shape !== before.shape) await reload(context, signal, { force: true });
    // What came by a reload has no weight, and goes with the next one.
    else if (by === 'runtime') await takeBack(context, before, running, signal);
  } catch (error) {
    // The first error is the one to tell; the next apply puts right what is left.
    options.log('error', 'haproxy: could not take everything back', { error: String(error) });
  }
}
