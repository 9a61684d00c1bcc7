import { ZddError } from '../../protocol/errors.ts';
import {
  groupMembers,
  hasInEnvironment,
  isAlive,
  type ProcessIdentity,
  type ProcessStat,
  processesWith,
  readStat,
} from './proc.ts';
import { pause, waitFor } from './wait.ts';

/** Everything that was started together. */
export interface ProcessGroup {
  /** For people. */
  readonly name: string;
  /** `NAME=value` that all of it was started with, and nothing else was. */
  readonly mark: string;
  /** Leader of the process group: the holder of a slot, or the command itself. */
  readonly leader: ProcessIdentity;
  /** What is asked to end; null when it never came to run. */
  readonly app: ProcessIdentity | null;
}

/** How long a process may take to be gone after SIGKILL, ms. */
const KILL_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/** Whether anything of it still runs. */
export function survives(group: ProcessGroup): boolean {
  const { app } = group;
  return (app !== null && isAlive(app)) || membersOf(group).length > 0;
}

/**
 * Ends everything: the holder at once, so that it starts nothing more; SIGTERM to the app, which
 * may need its children to end well; SIGTERM to what is left of the group when the app is gone;
 * SIGKILL to all that is left at `deadline`. Resolves when nothing is left.
 * @param deadline asked again and again, ms since the epoch: another caller may bring it forward
 * @throws ZDD_NEEDS_HUMAN when even SIGKILL does not end it within 30 s; the reason of `signal`
 */
export async function endProcesses(
  current: () => ProcessGroup,
  deadline: () => number,
  signal: AbortSignal,
): Promise<void> {
  const first = current();
  if (first.leader.pid !== first.app?.pid && isAlive(first.leader)) {
    send(first.leader.pid, 'SIGKILL');
  }
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
    await pause(Math.min(POLL_MS, Math.max(1, deadline() - Date.now())), signal);
  }
  await killProcesses(current, signal);
}

/**
 * SIGKILL to everything; resolves when nothing is left.
 * @throws ZDD_NEEDS_HUMAN after 30 s; the reason of `signal`
 */
export async function killProcesses(
  current: () => ProcessGroup,
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
  const { name, app, leader } = current();
  throw new ZddError('ZDD_NEEDS_HUMAN', `${name} does not end, not even by SIGKILL`, {
    evidence: [['process', String(app?.pid ?? leader.pid)]],
    tries: [`ps -o pid,stat,wchan,args -g ${leader.pid}`],
  });
}

/**
 * To every process that bears the mark, also those that lead sessions of their own.
 * @returns whether there were any
 */
export function signalMarked(mark: string, signal: NodeJS.Signals): boolean {
  const marked = processesWith(mark);
  for (const { pid } of marked) send(pid, signal);
  return marked.length > 0;
}

/**
 * SIGKILL to every process that bears the mark, until none is left.
 * @throws the reason of `signal`
 */
export async function killMarked(mark: string, signal: AbortSignal): Promise<void> {
  await waitFor(() => (signalMarked(mark, 'SIGKILL') ? undefined : true), {
    timeoutMs: KILL_TIMEOUT_MS,
    everyMs: POLL_MS,
    signal,
  });
}

/**
 * The live members of the group. The leader's pid cannot be given to another process while its
 * group has members, so a leader with its own start time vouches for all; without a leader the
 * group is ours only if a member bears our mark.
 */
function membersOf({ mark, leader, app }: ProcessGroup): readonly ProcessStat[] {
  const found = readStat(leader.pid);
  if (found !== undefined && found.startTime !== leader.startTime) return [];
  const members = groupMembers(leader.pid);
  if (found !== undefined) return members;
  const isOurs = members.some(
    (member) =>
      (member.pid === app?.pid && member.startTime === app.startTime) ||
      hasInEnvironment(member.pid, mark),
  );
  return isOurs ? members : [];
}

function signalGroup(group: ProcessGroup, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (membersOf(group).length > 0) send(-group.leader.pid, signal);
}

/** An app that has made itself leader of an own group takes that group with it by SIGKILL. */
function signalApp(app: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void {
  const stat = readStat(app.pid);
  if (stat === undefined || stat.startTime !== app.startTime) return;
  send(signal === 'SIGKILL' && stat.group === app.pid ? -app.pid : app.pid, signal);
}

function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    // Gone in the meantime: that is what was wanted.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return;
    throw error;
  }
}
