import { join } from 'node:path';
import { z } from 'zod';
import { pause } from '../process/wait.ts';
import { run } from './bus.ts';
import { isBackingOff, isDown, type UnitState } from './unit-state.ts';
import type { UnitWatch } from './unit-watch.ts';

/** How long a start waits for the shell to become the app, ms; a slow `$(...)` may take longer. */
const EXEC_TIMEOUT_MS = 5_000;
const EXEC_POLL_MS = 20;

const MANAGER = [
  'org.freedesktop.systemd1',
  '/org/freedesktop/systemd1',
  'org.freedesktop.systemd1.Manager',
] as const;
/** A list of control group, pid and command line. */
const processes = z.object({
  data: z.tuple([z.array(z.tuple([z.string(), z.number(), z.string()]))]),
});

/**
 * Waits until the shell that runs the start script has become the app, so that a command that does
 * not exist is known at once and a healthy one is waited for no longer than its exec. systemd is
 * asked for the command lines, because the agent may not be able to see processes of other users.
 * @returns the state at that moment
 * @throws the reason of `signal`
 */
export async function untilExec(
  unit: string,
  folder: string,
  watch: UnitWatch,
  signal: AbortSignal,
): Promise<UnitState> {
  const deadline = performance.now() + EXEC_TIMEOUT_MS;
  const script = join(folder, 'start');
  for (;;) {
    const state = await watch.see(unit, signal);
    if (isDown(state) || isBackingOff(state)) return state;
    const line = await commandLine(unit, state.mainPid, signal);
    const isPast = line !== undefined && !line.includes(script) && !/^(\S*\/)?env /.test(line);
    // While it is being replaced a process has no command line; ended in between, it is not there.
    if (isPast && line !== '') return state;
    if (performance.now() > deadline) return state;
    await pause(EXEC_POLL_MS, signal);
  }
}

async function commandLine(
  unit: string,
  pid: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const args = ['--json=short', 'call', ...MANAGER, 'GetUnitProcesses', 's', unit];
  const { ok, stdout } = await run('busctl', args, signal);
  if (!ok) return undefined;
  const { data } = processes.parse(JSON.parse(stdout));
  return data[0].find((found) => found[1] === pid)?.[2];
}
