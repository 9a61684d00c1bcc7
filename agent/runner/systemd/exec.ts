import { join } from 'node:path';
import { ZddError } from '../../protocol/errors.ts';
import { execScripts } from '../exec/script.ts';
import { type ExecLauncher, openSession } from '../exec/session.ts';
import { bootId } from '../process/proc.ts';
import type { ExecSession, ExecSpec } from '../runner.ts';
import { systemctl } from './bus.ts';
import { keepWritten } from './durable-file.ts';
import { endUnit, type Surroundings } from './instance.ts';
import { unitWords } from './journal.ts';
import { limitProperties } from './limits.ts';
import { removeSlot, slotFolder, writeSlot } from './slot-folder.ts';
import { onceUnitOf } from './unit-names.ts';

/** How long a unit may take to be gone, ms. */
const END_MS = 60_000;
/** A session that does not begin is given up before this, ms. */
const WATCH_MS = 60_000;

/**
 * A command in a release with its streams in our hands, as a unit of its own: the app's user,
 * sandbox and limits. It is recorded as a command that runs once, so that a later daemon ends it.
 * @throws ZDD_EXEC_FAILED, ZDD_START_FAILED; the reason of `signal`
 */
export async function exec(
  spec: ExecSpec,
  around: Surroundings,
  signal: AbortSignal,
): Promise<ExecSession> {
  const { name, app } = spec;
  const folder = slotFolder(around.stateDir, name);
  const { start, run } = execScripts(spec, folder, around.scripts(app));
  const record = { version: 1, kind: 'once', name, bootId: bootId(), timeoutMs: 0 } as const;
  await writeSlot(around.stateDir, name, { start, stopped: '' }, record);
  await keepWritten(join(folder, 'run'), run, 0o750);
  return await openSession(folder, launcherOf(spec, around), signal);
}

function launcherOf({ name, limits }: ExecSpec, around: Surroundings): ExecLauncher {
  const { watch, stateDir } = around;
  const unit = onceUnitOf(name);
  // Nobody waits for these any more when the daemon leaves: each has its own end.
  const soon = (): AbortSignal => AbortSignal.timeout(END_MS);
  return {
    async launch(signal) {
      const properties = limitProperties(limits);
      if (properties.length > 0) {
        await must(['set-property', '--runtime', unit, ...properties], unit, signal);
      }
      await must(['start', '--no-block', unit], unit, signal);
    },
    async failure(signal) {
      const deadline = performance.now() + WATCH_MS;
      await watch.until(
        unit,
        ({ active, sub }) => active === 'failed' || (active === 'active' && sub === 'exited'),
        deadline,
        signal,
      );
      return (await unitWords(unit, 5, signal)).join('\n');
    },
    async kill(sent) {
      // Fails for a unit that is gone: that is what was wanted.
      await systemctl(['kill', `--signal=${sent}`, unit], soon());
    },
    async isGone() {
      const { stdout } = await systemctl(['show', '--property=TasksCurrent', '--', unit], soon());
      return !/=[1-9]\d{0,9}$/.test(stdout.trim());
    },
    async finish() {
      await endUnit(name, unit, [], 0, watch, soon());
      await removeSlot(stateDir, name);
    },
  };
}

async function must(args: readonly string[], unit: string, signal: AbortSignal): Promise<void> {
  const { ok, said } = await systemctl(args, signal);
  if (ok) return;
  throw new ZddError('ZDD_EXEC_FAILED', 'systemd could not begin the command', {
    evidence: [['systemctl', said]],
    traffic: 'untouched',
    tries: [`systemctl status ${unit}`, 'zdd-agent doctor'],
  });
}
