import { execFile } from 'node:child_process';
import type { Finding } from '../../protocol/api.ts';

/** All is well, and what was looked at. */
export function ok(code: string, what: string): Finding {
  return { level: 'ok', code, what, tries: [] };
}

/** Good to know; nothing is wrong. */
export function notice(code: string, what: string, ...tries: string[]): Finding {
  return { level: 'notice', code, what, tries };
}

/** Works today, and will hurt one day. */
export function warning(code: string, what: string, ...tries: string[]): Finding {
  return { level: 'warning', code, what, tries };
}

/** Something does not work. */
export function error(code: string, what: string, ...tries: string[]): Finding {
  return { level: 'error', code, what, tries };
}

/** How a program that was asked something has ended. */
export interface Answer {
  /** Null when it could not be run at all. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Asks a program; it never throws, because what cannot be asked is a finding too. */
export function ask(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(program, [...args], { signal, maxBuffer: 1 << 20 }, (failure, stdout, stderr) => {
      const code = failure === null ? 0 : typeof failure.code === 'number' ? failure.code : null;
      resolve({ code, out: stdout.trim(), err: stderr.trim() });
    });
  });
}
