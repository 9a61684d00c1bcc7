import { constants } from 'node:os';
import type { Exit, InstanceStatus } from '../runner.ts';

/** What is asked of each unit; systemd leaves out what it does not know. */
export const PROPERTIES = [
  'Id',
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'MainPID',
  'NRestarts',
  'ExecMainCode',
  'ExecMainStatus',
  'ExecMainStartTimestampMonotonic',
  'ExecMainExitTimestampMonotonic',
  'RestartUSec',
  'RestartUSecNext',
] as const;

/** A unit at one moment, as `systemctl show` tells. */
export interface UnitState {
  readonly unit: string;
  readonly active: string;
  readonly sub: string;
  /** Why it is not well: `exit-code`, `signal`, `oom-kill`, ...; `success`. */
  readonly result: string;
  /** 0 when there is none. */
  readonly mainPid: number;
  readonly restarts: number;
  /** How the last process ended; null while it has not. */
  readonly exit: Exit | null;
  /** Microseconds on the kernel's monotonic clock; 0 when it has not. */
  readonly startedAtUs: number;
  readonly exitedAtUs: number;
  readonly restartPauseMs: number;
  /** The pause grows with each restart (systemd 254 on), until the restarts are forgotten. */
  readonly isPauseGrown: boolean;
}

/** Reads the blocks of `systemctl show -p ... UNIT...`, one a unit. */
export function parseUnits(text: string): readonly UnitState[] {
  return text
    .split('\n\n')
    .map((block) => new Map(block.split('\n').map(property)))
    .filter((properties) => (properties.get('Id') ?? '') !== '')
    .map(unitState);
}

/** Whether the unit neither runs nor is about to. */
export function isDown({ active }: UnitState): boolean {
  return active === 'inactive' || active === 'failed';
}

/** Whether systemd waits before it starts the unit again. */
export function isBackingOff({ sub }: UnitState): boolean {
  return sub.startsWith('auto-restart');
}

/**
 * How often the instance has ended by itself since it was started: systemd counts a restart when it
 * begins, not when the process has ended.
 */
export function endsOf(state: UnitState): number {
  return state.restarts + (isBackingOff(state) ? 1 : 0);
}

/** How long an instance has to run before its earlier ends no longer count, microseconds. */
const STEADY_US = 60_000_000;

/** Whether it runs well again after ends that still make its next pause longer. */
export function isSteadyAgain(state: UnitState, nowUs: number): boolean {
  const { active, mainPid, isPauseGrown, restarts, startedAtUs } = state;
  const runs = active === 'active' && mainPid !== 0;
  return runs && isPauseGrown && restarts > 0 && nowUs - startedAtUs >= STEADY_US;
}

/** A unit in the runner's words. @param nowMs milliseconds since the epoch */
export function statusOf(state: UnitState, nowMs: number, nowUs: number): InstanceStatus {
  if (isBackingOff(state)) {
    const sinceMs = (nowUs - state.exitedAtUs) / 1_000;
    return {
      state: 'backing_off',
      restarts: endsOf(state),
      nextStartAt: Math.round(nowMs + state.restartPauseMs - sinceMs),
      lastExit: state.exit ?? { code: null, signal: null },
    };
  }
  if (isDown(state) || state.mainPid === 0) return { state: 'stopped' };
  return { state: 'running', pid: state.mainPid, restarts: state.restarts };
}

/** The clock of systemd's monotonic timestamps, microseconds. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** The name of a signal by its number. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}

function property(line: string): [string, string] {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}

function unitState(properties: ReadonlyMap<string, string>): UnitState {
  const text = (name: (typeof PROPERTIES)[number]): string => properties.get(name) ?? '';
  const number = (name: (typeof PROPERTIES)[number]): number => {
    const value = Number(text(name));
    return Number.isFinite(value) ? value : 0;
  };
  const result = text('Result');
  return {
    unit: text('Id'),
    active: text('ActiveState'),
    sub: text('SubState'),
    result,
    mainPid: number('MainPID'),
    restarts: number('NRestarts'),
    exit: exitOf(number('ExecMainCode'), number('ExecMainStatus'), result),
    startedAtUs: number('ExecMainStartTimestampMonotonic'),
    exitedAtUs: number('ExecMainExitTimestampMonotonic'),
    restartPauseMs: Math.round(spanMs(text('RestartUSecNext') || text('RestartUSec'))),
    isPauseGrown: spanMs(text('RestartUSecNext')) > spanMs(text('RestartUSec')),
  };
}

/** `code` is a `si_code` of waitid(2): 1 CLD_EXITED, 2 CLD_KILLED, 3 CLD_DUMPED; 0 not ended. */
function exitOf(code: number, status: number, result: string): Exit | null {
  switch (code) {
    case 1:
      return { code: status, signal: null };
    case 2:
    case 3:
      return {
        code: null,
        signal: signalName(status),
        ...(result === 'oom-kill' ? { outOfMemory: true } : {}),
      };
    default:
      return null;
  }
}

const SPAN_MS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
};

/** A time span as systemd prints it: `300ms`, `1min 30s`. */
export function spanMs(text: string): number {
  return text.split(' ').reduce((sum, part) => {
    const [, amount, unit] = /^([\d.]+)([a-z]+)$/.exec(part) ?? [];
    return sum + Number(amount ?? 0) * (SPAN_MS[unit ?? ''] ?? 0);
  }, 0);
}
