import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Exit } from '../runner.ts';
import type { ProcessIdentity } from './proc.ts';

/** The app ended by itself and the holder will start it again. */
export interface Ended {
  readonly exit: Exit;
  /** Seconds since boot. */
  readonly atUptime: number;
  /** The pause until the next start, ms. */
  readonly pauseMs: number;
}

/** Everything that a holder has noted of its generation. */
export interface Life {
  readonly holder: ProcessIdentity | null;
  /** The last app that began, whether it still runs or not. */
  readonly app: ProcessIdentity | null;
  /** All ends, oldest first; each was followed by another start. */
  readonly ends: readonly Ended[];
  /** The last app that began has not been seen to end. */
  readonly running: boolean;
  /** The start was called off before a holder came. */
  readonly revoked: boolean;
}

const NOTHING: Life = { holder: null, app: null, ends: [], running: false, revoked: false };

/** Reads a life file; undefined when there is none: the holder never came to run. */
export function readLife(path: string): Life | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
  // The part after the last line end is still being written.
  return text.split('\n').slice(0, -1).reduce(note, NOTHING);
}

/**
 * Takes away a start's permission: a holder that comes late finds the file and does not run.
 * @returns false when the holder was first and its notes count
 */
export function revoke(path: string): boolean {
  try {
    const file = openSync(path, 'wx', 0o600);
    writeSync(file, 'revoked\n');
    closeSync(file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Reads a shell's `$?`: above 128 it stands for a signal (POSIX, Shell Command Language 2.8.2). An app
 * that itself exits with such a number cannot be told apart.
 */
export function exitOf(code: number): Exit {
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return signal === undefined ? { code, signal: null } : { code: null, signal };
}

function note(life: Life, line: string): Life {
  const [what, first, second, third] = line.split(' ');
  switch (what) {
    case 'held':
      return { ...life, holder: { pid: Number(first), startTime: Number(second) } };
    case 'began':
      return {
        ...life,
        app: { pid: Number(first), startTime: Number(second) },
        running: true,
      };
    case 'ended': {
      const end = {
        exit: exitOf(Number(first)),
        atUptime: Number(second),
        pauseMs: Number(third),
      };
      return { ...life, ends: [...life.ends, end], running: false };
    }
    case 'revoked':
      return { ...life, revoked: true };
    default:
      return life;
  }
}
