import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../bin/zdd-agent', import.meta.url));
const COMPILE_CACHE = fileURLToPath(
  new URL('../../node_modules/.cache/zdd-agent', import.meta.url),
);
const DEADLINE_MS = 30_000;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly socket?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  /** How long it may run, ms; for those that have to wait for something slow. */
  readonly deadlineMs?: number;
}

/** A CLI that runs: its output so far, and ways to wait for more of it and for its end. */
export interface Running {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves once `what` is in stdout or stderr. */
  says(what: string): Promise<void>;
  ended(): Promise<Ran>;
}

/** Starts the real launcher with nothing of this process's environment that could colour results. */
export function startCli(args: readonly string[], options: RunOptions = {}): Running {
  return watchChild(
    spawn(CLI, args, {
      cwd: options.cwd ?? tmpdir(),
      env: environment(options),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    }),
    args.join(' '),
    options.deadlineMs,
  );
}

export function environment(options: RunOptions): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    TZ: 'UTC',
    TMPDIR: tmpdir(),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...(options.socket === undefined ? {} : { ZDD_SOCKET_PATH: options.socket }),
    ...options.env,
  };
}

/** Runs the CLI to its end. */
export function cli(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return startCli(args, options).ended();
}

export function watchChild(child: ChildProcess, name: string, deadlineMs = DEADLINE_MS): Running {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const closed = once(child, 'close', { signal: AbortSignal.timeout(deadlineMs) });
  // A test that failed before it waited for the end must not fail a second time here.
  closed.catch(() => child.kill('SIGKILL'));
  const describe = () => `${name}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`;
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    says: (what) =>
      until(
        () => stdout.includes(what) || stderr.includes(what),
        () => `"${what}" of ${describe()}`,
        deadlineMs,
      ),
    async ended() {
      await closed.catch(() => {
        throw new Error(`no end within ${deadlineMs} ms: ${describe()}`);
      });
      return { code: child.exitCode, stdout, stderr };
    },
  };
}

/** Waits for a condition, never for a time. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: () => string,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A temporary folder of a test, gone when `remove` is called. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'zdd-cli-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** The lines longer than 80 columns. */
export function tooWide(text: string): string[] {
  return text.split('\n').filter((line) => [...line].length > 80);
}
