import type { InstanceSpec } from '../runner.ts';
import type { ActiveFiles } from './active-files.ts';
import { systemctl } from './bus.ts';
import { untilExec } from './exec-watch.ts';
import { commandMissing, doesNotEnd, isCommandMissing, startFailed } from './failures.ts';
import { limitProperties } from './limits.ts';
import { requirePlace } from './place.ts';
import { removeSlot, slotFolder, writeSlot } from './slot-folder.ts';
import { type ScriptSurroundings, startScript, stoppedScript } from './slot-scripts.ts';
import { serviceOf, slotName, socketUnitOf } from './unit-names.ts';
import { isBackingOff, isDown, type UnitState } from './unit-state.ts';
import type { UnitWatch } from './unit-watch.ts';

/** How long a unit may take to be down after SIGKILL, ms. */
const KILL_TIMEOUT_MS = 30_000;

/** What instances need of the runner around them. */
export interface Surroundings {
  readonly stateDir: string;
  readonly active: ActiveFiles;
  readonly watch: UnitWatch;
  scripts(app: string): ScriptSurroundings;
}

/**
 * Starts an instance whose unit is down; one that is up is left as it is. What shall run is on disk
 * before it does, so that a boot brings it back and a later daemon knows it.
 * @param isFresh it never ran: a failed start leaves nothing. One that has run before, systemd goes
 *   on trying to start
 * @throws ZDD_START_COMMAND_NOT_FOUND, ZDD_START_FAILED, ZDD_PORT_IN_USE; the reason of `signal`,
 *   with the start perhaps under way: to be started again, or stopped
 */
export async function startInstance(
  spec: InstanceSpec,
  isFresh: boolean,
  around: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  try {
    await bringUp(spec, around, signal);
  } catch (error) {
    if (isFresh && !signal.aborted) await stopInstance(spec.slot, 0, around, signal);
    throw error;
  }
}

async function bringUp(
  spec: InstanceSpec,
  around: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const unit = serviceOf(spec.slot);
  const before = await around.watch.see(unit, signal);
  if (isRunning(before)) {
    await intend(spec, around);
    return;
  }
  await requirePlace(spec);
  await intend(spec, around);
  const listener = isActivated(spec) ? [socketUnitOf(spec.slot)] : [];
  const properties = limitProperties(spec.limits);
  if (properties.length > 0) {
    await mustSucceed(spec, ['set-property', '--runtime', unit, ...properties], around, signal);
  }
  // Ends of an earlier life count against nothing, and a failed listener can be started again.
  await systemctl(['reset-failed', ...listener, unit], signal);
  if (listener.length > 0) await mustSucceed(spec, ['start', ...listener], around, signal);
  await mustSucceed(spec, ['start', unit], around, signal);
  const state = await untilExec(unit, slotFolder(around.stateDir, spec.slot), around.watch, signal);
  const { exit } = state;
  if (isBackingOff(state) && exit !== null && isCommandMissing(exit)) {
    throw await commandMissing(spec, signal);
  }
  if (isDown(state)) throw await startFailed(spec.slot, '', state, signal);
}

/**
 * Asks for instances that shall run and do not: an admin stopped them, or the boot could not start
 * them. Waits for none: what they wait for, a database, may take its time.
 */
export async function askFor(specs: readonly InstanceSpec[], signal: AbortSignal): Promise<void> {
  for (const { slot, limits } of specs) {
    const properties = limitProperties(limits);
    if (properties.length === 0) continue;
    await systemctl(['set-property', '--runtime', serviceOf(slot), ...properties], signal);
  }
  const listeners = specs.filter(isActivated).map(({ slot }) => socketUnitOf(slot));
  const units = [...listeners, ...specs.map(({ slot }) => serviceOf(slot))];
  if (units.length === 0) return;
  await systemctl(['reset-failed', ...units], signal);
  await systemctl(['start', '--no-block', ...units], signal);
}

/**
 * SIGTERM, SIGKILL to all that is left of the unit after `graceMs`; its listener goes with it. Does
 * nothing when it is gone. Killed anywhere, it is begun again by whoever finds the slot's folder.
 * @throws ZDD_NEEDS_HUMAN when even SIGKILL does not end it; the reason of `signal`
 */
export async function stopInstance(
  slot: string,
  graceMs: number,
  around: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const { active, watch, stateDir } = around;
  const service = serviceOf(slot);
  const listener = socketUnitOf(slot);
  await active.remove(listener);
  await active.remove(service);
  await endUnit(slot, service, [listener], graceMs, watch, signal);
  await removeSlot(stateDir, slot);
}

/** Ends a service and, when it has one, its listener: both in one go, or a connection wakes it. */
export async function endUnit(
  slot: string,
  service: string,
  listeners: readonly string[],
  graceMs: number,
  watch: UnitWatch,
  signal: AbortSignal,
): Promise<void> {
  const units = [service, ...listeners];
  const deadline = performance.now() + graceMs;
  await watch.look(units, signal);
  const isGone = (unit: string): boolean => {
    const state = watch.state(unit);
    return state === undefined || isDown(state);
  };
  if (!units.every(isGone)) {
    await systemctl(['stop', '--no-block', ...units], signal);
    if ((await watch.until(service, isDown, deadline, signal)) === undefined) {
      await systemctl(['kill', '--signal=SIGKILL', service], signal);
    }
    const killed = performance.now() + KILL_TIMEOUT_MS;
    for (const unit of units) {
      if ((await watch.until(unit, isDown, killed, signal)) === undefined) {
        throw doesNotEnd(slot, unit);
      }
    }
  }
  // A failed unit stays in memory, and in `systemctl --failed`, until it is forgotten.
  await systemctl(['reset-failed', ...units], signal);
  for (const unit of units) watch.forget(unit);
}

/** Up, or about to be by itself. One that is being stopped is started after that. */
function isRunning({ active }: UnitState): boolean {
  return active === 'active' || active === 'activating' || active === 'reloading';
}

function isActivated({ listen }: InstanceSpec): boolean {
  return listen.kind === 'unix' && listen.activation;
}

/** Writes down that this instance shall run. May be repeated. */
async function intend(spec: InstanceSpec, { stateDir, active, ...around }: Surroundings) {
  const { slot } = spec;
  const scripts = {
    start: startScript(spec, around.scripts(slotName(slot).app)),
    stopped: stoppedScript(spec),
  };
  await writeSlot(stateDir, slot, scripts, { version: 1, kind: 'instance', spec });
  if (isActivated(spec)) await active.add(socketUnitOf(slot), []);
  await active.add(serviceOf(slot), limitProperties(spec.limits));
}

async function mustSucceed(
  spec: InstanceSpec,
  args: readonly string[],
  around: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const { ok, said } = await systemctl(args, signal);
  if (ok) return;
  const state = await around.watch.see(serviceOf(spec.slot), signal);
  // A command that does not exist may end so fast that the start fails with it.
  const isStart = args[0] === 'start';
  if (isStart && state.exit !== null && isCommandMissing(state.exit)) {
    throw await commandMissing(spec, signal);
  }
  throw await startFailed(spec.slot, said, state, signal);
}
