import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';

const record = z.strictObject({ pid: z.int(), startTime: z.string() });

/** A process that no other can be taken for: pids are used again, start times are not. */
export type ProcessRecord = z.infer<typeof record>;

/**
 * Reads field 22 of `/proc/PID/stat` (proc(5)): clock ticks from boot to the process's start.
 * @returns undefined when the process is gone or a zombie
 */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may hold blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

/** Whether exactly this process runs. */
export async function isAlive({ pid, startTime }: ProcessRecord): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime;
}

/** The record in a file; undefined when there is none or it is not readable as one. */
export async function readRecord(path: string): Promise<ProcessRecord | undefined> {
  try {
    return record.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Writes the record in one rename. A lost one is found again through the master's socket. */
export async function writeRecord(path: string, value: ProcessRecord): Promise<void> {
  await writeFile(`${path}.tmp`, JSON.stringify(value), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}
