import type { Exit } from '../runner.ts';
import type { JournalLine } from './journal-entry.ts';
import { ENDED } from './slot-scripts.ts';
import { endsOf, isBackingOff, type UnitState } from './unit-state.ts';

const UNSEEN: Exit = { code: null, signal: null };
const NOTE = new RegExp(`^${ENDED} (exited|killed|dumped|) ?(\\S*) (\\S+)$`);

/** How many ends there have been since the last look. systemd counts anew after a manual start. */
export function newEnds(told: number, now: UnitState): number {
  return Math.max(0, endsOf(now) - told);
}

/** How an instance ended, by the line that `stopped` has left; null when it is another line. */
export function noteOf({ text, priority }: Pick<JournalLine, 'text' | 'priority'>): Exit | null {
  const [, how, status, result] = NOTE.exec(text) ?? [];
  if (how === undefined || status === undefined || priority !== 5) return null;
  const killedForMemory = result === 'oom-kill' ? { outOfMemory: true as const } : {};
  if (how === 'exited') return { code: Number(status), signal: null };
  return how === '' ? UNSEEN : { code: null, signal: `SIG${status}`, ...killedForMemory };
}

/**
 * The last `count` ends, oldest first. What no note is found of is unseen; the very last one systemd
 * itself still knows while it waits for the next start.
 */
export function lastExits(count: number, notes: readonly Exit[], now: UnitState): readonly Exit[] {
  const known = notes.slice(-count);
  const exits = [...Array.from({ length: count - known.length }, () => UNSEEN), ...known];
  const last = isBackingOff(now) && notes.length < count ? now.exit : null;
  return last === null ? exits : [...exits.slice(1), last];
}
