import { ZddError } from '../../protocol/errors.ts';
import {
  groupMembers,
  hasInEnvironment,
  isAlive,
  type ProcessIdentity,
  type ProcessStat,
  readStat,
} from './proc.ts';
import { waitFor } from './wait.ts';

/** The processes of one generation of a slot. */
export interface SlotProcesses {
  readonly slot: string;
  /** Leader of the group that everything of the slot is in. */
  readonly holder: ProcessIdentity;
  /** The app itself; null when it never came to run. */
  readonly app: ProcessIdentity | null;
}

/** How long a process may take to be gone after SIGKILL, ms. */
const KILL_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/**
 * Whether anything of it still runs. A dead holder's pid cannot be given to another process while
 * its group has members; a group whose leader is gone is believed only if a member bears our mark.
 */
export function survives(processes: SlotProcesses): boolean {
  const { app } = processes;
  return (app !== null && isAlive(app)) || ownGroup(processes).length > 0;
}

/**
 * Ends everything of a slot: the holder at once, so that it starts nothing more; SIGTERM to the
 * app, which may need its children to end well; SIGTERM to what is left of its group when the app
 * is gone; SIGKILL to all that is left at `deadline`. Resolves when nothing is left.
 * @param deadline asked again and again, ms since the epoch: another caller may bring it forward
 * @throws ZDD_NEEDS_HUMAN when even SIGKILL does not end it within 30 s; the reason of `signal`
 */
export async function endProcesses(
  current: () => SlotProcesses,
  deadline: () => number,
  signal: AbortSignal,
): Promise<void> {
  const first = current();
  if (isAlive(first.holder)) send(first.holder.pid, 'SIGKILL');
  let asked: ProcessIdentity | undefined;
  let groupAsked = false;
  while (Date.now() < deadline()) {
    signal.throwIfAborted();
    const now = current();
    if (now.app !== null && isAlive(now.app)) {
      if (asked?.pid !== now.app.pid) signalApp(now.app, 'SIGTERM');
      asked = now.app;
    } else {
      if (!survives(now)) return;
      if (!groupAsked) signalGroup(now, 'SIGTERM');
      groupAsked = true;
    }
    const timeoutMs = Math.min(POLL_MS, Math.max(1, deadline() - Date.now()));
    await waitFor(() => undefined, { timeoutMs, everyMs: POLL_MS, signal });
  }
  await killProcesses(current, signal);
}

/**
 * SIGKILL to everything of a slot; resolves when nothing is left.
 * @throws ZDD_NEEDS_HUMAN after 30 s; the reason of `signal`
 */
export async function killProcesses(
  current: () => SlotProcesses,
  signal: AbortSignal,
): Promise<void> {
  const gone = await waitFor(
    () => {
      const now = current();
      signalGroup(now, 'SIGKILL');
      if (now.app !== null) signalApp(now.app, 'SIGKILL');
      return survives(now) ? undefined : true;
    },
    { timeoutMs: KILL_TIMEOUT_MS, everyMs: POLL_MS, signal },
  );
  if (gone === true) return;
  const { slot, app, holder } = current();
  throw new ZddError('ZDD_NEEDS_HUMAN', `${slot} does not end, not even by SIGKILL`, {
    evidence: [['process', String(app?.pid ?? holder.pid)]],
    tries: [`ps -o pid,stat,wchan,args -g ${holder.pid}`],
  });
}

function ownGroup({ slot, holder, app }: SlotProcesses): readonly ProcessStat[] {
  const leader = readStat(holder.pid);
  if (leader !== undefined && leader.startTime !== holder.startTime) return [];
  const members = groupMembers(holder.pid);
  if (leader !== undefined) return members;
  const known = members.some(
    (member) =>
      (member.pid === app?.pid && member.startTime === app.startTime) ||
      hasInEnvironment(member.pid, `ZDD_SLOT=${slot}`),
  );
  return known ? members : [];
}

function signalGroup(processes: SlotProcesses, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (ownGroup(processes).length > 0) send(-processes.holder.pid, signal);
}

/** An app that has made itself leader of an own group takes that group with it by SIGKILL. */
function signalApp(app: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void {
  const stat = readStat(app.pid);
  if (stat === undefined || stat.startTime !== app.startTime) return;
  send(signal === 'SIGKILL' && stat.group === app.pid ? -app.pid : app.pid, signal);
}

function send(target: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    // Gone in the meantime: that is what was wanted.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return;
    throw error;
  }
}
