import { stat } from 'node:fs/promises';
import { ZddError } from '../../protocol/errors.ts';
import { bootId } from '../process/proc.ts';
import { pause } from '../process/wait.ts';
import { Leaving, type OnceResult, type OnceSpec } from '../runner.ts';
import { systemctl } from './bus.ts';
import { endUnit, type Surroundings } from './instance.ts';
import { slotLines, unitWords } from './journal.ts';
import { readSlot, removeSlot, slotsOfApp, writeSlot } from './slot-folder.ts';
import { onceScript } from './slot-scripts.ts';
import { onceUnitOf, slotName } from './unit-names.ts';
import { isDown, monotonicUs, type UnitState } from './unit-state.ts';

/** Lines of output that are kept. */
const KEPT_LINES = 200;
/** From SIGTERM to SIGKILL, ms. */
const GRACE_MS = 5_000;
/** How long a command that is given up may take to be gone, ms. */
const END_MS = 60_000;
/** How long systemd may take from being asked to the first process, ms. */
const BEGIN_MS = 30_000;
/** How often the journal is read again while it may still get lines, ms. */
const JOURNAL_EVERY_MS = 100;
/** How long the journal may take to have the last lines of a command that has ended, ms. */
const JOURNAL_LAG_MS = 1_000;

/**
 * Whether a command of this name was begun in this boot and is not forgotten: it runs, or its unit
 * keeps how it ended. One that was written down but not begun is not known, nor is one of before a
 * reboot: nobody can tell how far it came.
 */
export async function knowsOnce(
  name: string,
  { stateDir, watch }: Surroundings,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await readSlot(stateDir, name);
  if (found?.kind !== 'once' || found.bootId !== bootId()) return false;
  return hasBegun(await watch.see(onceUnitOf(name), signal));
}

/**
 * Runs a command as a unit of its own, which does not need the daemon, and waits for its end; or
 * waits for the end of the one that runs already under this name.
 * @throws ZDD_RELEASE_COMMAND_FAILED when it cannot be begun; the reason of `signal`
 */
export async function runOnce(
  spec: OnceSpec,
  around: Surroundings,
  signal: AbortSignal,
): Promise<OnceResult> {
  const { name, timeoutMs } = spec;
  const unit = onceUnitOf(name);
  try {
    if (!(await knowsOnce(name, around, signal))) await begin(spec, around, signal);
    const timedOut = !(await hasEnded(unit, timeoutMs, around, signal));
    if (timedOut) await stopUnit(unit, around, signal);
    return await resultOf(name, timedOut, around, signal);
  } catch (error) {
    if (signal.aborted && !(signal.reason instanceof Leaving)) {
      await forgetCommand(name, around, AbortSignal.timeout(END_MS));
    }
    throw error;
  }
}

/** Ends and forgets the commands of an app but for those of `kept`. */
export async function forgetOnce(
  app: string,
  kept: Pick<ReadonlySet<string>, 'has'>,
  around: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  for (const slot of await slotsOfApp(around.stateDir, app)) {
    if (kept.has(slot)) continue;
    const found = await readSlot(around.stateDir, slot).catch(() => undefined);
    if (found?.kind === 'once') await forgetCommand(slot, around, signal);
  }
}

async function forgetCommand(
  name: string,
  { stateDir, watch }: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  await endUnit(name, onceUnitOf(name), [], GRACE_MS, watch, signal);
  await removeSlot(stateDir, name);
}

async function begin(spec: OnceSpec, around: Surroundings, signal: AbortSignal): Promise<void> {
  const { name, app, cwd, timeoutMs } = spec;
  await requireFolder(cwd);
  const scripts = { start: onceScript(spec, around.scripts(app)), stopped: '' };
  const record = { version: 1, kind: 'once', name, bootId: bootId(), timeoutMs } as const;
  await writeSlot(around.stateDir, name, scripts, record);
  const unit = onceUnitOf(name);
  const { ok, said } = await systemctl(['start', '--no-block', unit], signal);
  const deadline = performance.now() + BEGIN_MS;
  if (ok && (await around.watch.until(unit, hasBegun, deadline, signal)) !== undefined) return;
  throw new ZddError('ZDD_RELEASE_COMMAND_FAILED', 'systemd could not begin the release command', {
    evidence: [
      ['systemctl', said],
      ['last words', (await unitWords(unit, 10, signal)).join('\n')],
    ],
    tries: [`systemctl status ${unit}`, 'zdd-agent doctor'],
  });
}

/** A unit that remains after its exit is never inactive again by itself. */
function hasBegun({ active }: UnitState): boolean {
  return active !== 'inactive';
}

function isEnd(state: UnitState): boolean {
  return isDown(state) || (state.active === 'active' && state.sub === 'exited');
}

/** @returns false when its time was over first, counted from its own start */
async function hasEnded(
  unit: string,
  timeoutMs: number,
  { watch }: Surroundings,
  signal: AbortSignal,
): Promise<boolean> {
  const { startedAtUs } = await watch.see(unit, signal);
  const ranMs = startedAtUs === 0 ? 0 : (monotonicUs() - startedAtUs) / 1_000;
  const deadline = performance.now() + timeoutMs - ranMs;
  return (await watch.until(unit, isEnd, deadline, signal)) !== undefined;
}

async function stopUnit(unit: string, { watch }: Surroundings, signal: AbortSignal): Promise<void> {
  await systemctl(['stop', '--no-block', unit], signal);
  if ((await watch.until(unit, isDown, performance.now() + GRACE_MS, signal)) !== undefined) return;
  await systemctl(['kill', '--signal=SIGKILL', unit], signal);
  await watch.until(unit, isDown, performance.now() + END_MS, signal);
}

async function resultOf(
  name: string,
  timedOut: boolean,
  { watch }: Surroundings,
  signal: AbortSignal,
): Promise<OnceResult> {
  const { exit } = await watch.see(onceUnitOf(name), signal);
  const output = await outputOf(name, signal);
  return { exit: exit ?? { code: null, signal: null }, timedOut, output };
}

/** What it has written, once the journal has nothing more to add. */
async function outputOf(name: string, signal: AbortSignal): Promise<readonly string[]> {
  const slot = slotName(name);
  const deadline = performance.now() + JOURNAL_LAG_MS;
  let lines = await slotLines(slot.app, slot.name, KEPT_LINES, signal);
  for (;;) {
    await pause(JOURNAL_EVERY_MS, signal);
    const again = await slotLines(slot.app, slot.name, KEPT_LINES, signal);
    const settled = again.length > 0 && again.at(-1)?.cursor === lines.at(-1)?.cursor;
    lines = again;
    if (settled || performance.now() > deadline) return lines.map(({ text }) => text);
  }
}

async function requireFolder(cwd: string): Promise<void> {
  const found = await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new ZddError('ZDD_RELEASE_COMMAND_FAILED', `there is no folder ${cwd} to run it in`);
}
