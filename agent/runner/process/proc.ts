import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** A process for ever: a pid alone is given to another process one day. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/PID/stat, proc_pid_stat(5). */
  readonly startTime: number;
}

export interface ProcessStat extends ProcessIdentity {
  /** One letter; `Z` and `X` are dead and only wait to be collected. */
  readonly state: string;
  readonly group: number;
}

/** What the kernel says of `pid` now; undefined when there is none. */
export function readStat(pid: number): ProcessStat | undefined {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const [state, , group] = fields;
  const startTime = fields[19];
  if (state === undefined || group === undefined || startTime === undefined) return undefined;
  return { pid, state, group: Number(group), startTime: Number(startTime) };
}

/** Whether this very process still runs; a zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return stat !== undefined && stat.startTime === identity.startTime && !isDead(stat);
}

/** Every live process of a process group. Reads all of /proc. */
export function groupMembers(group: number): readonly ProcessStat[] {
  return allProcesses().filter((stat) => stat.group === group && !isDead(stat));
}

/** Live processes with exactly this `NAME=value` in the environment they were started with. */
export function processesWith(entry: string): readonly ProcessStat[] {
  return allProcesses().filter((stat) => !isDead(stat) && hasInEnvironment(stat.pid, entry));
}

/** Whether the process was started with `NAME=value`; false when we may not look. */
export function hasInEnvironment(pid: number, entry: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(entry);
  } catch {
    return false;
  }
}

/** The arguments of a process; empty while it is being replaced by exec, and when it is gone. */
export function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

/** Whether `pid` has become the app: neither our shell nor an `env` that looks for it. */
export function isPastExec(pid: number, script: string): boolean {
  const [program, argument] = argumentsOf(pid);
  return program !== undefined && argument !== script && basename(program) !== 'env';
}

let knownBootId: string | undefined;

/** Changes with each boot: identities of an earlier boot mean nothing. */
export function bootId(): string {
  // Asked for each slot at each tick, and no process sees two boots.
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return knownBootId;
}

/** Seconds since boot, on the clock by which the holder notes ends. */
export function uptimeSeconds(): number {
  return Number.parseFloat(readFileSync('/proc/uptime', 'latin1'));
}

function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

function allProcesses(): readonly ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat !== undefined);
}
