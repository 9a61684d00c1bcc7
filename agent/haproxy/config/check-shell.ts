import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';

/** How a program ended, and all it has said. */
export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** How long `haproxy -c` may take, ms. It resolves names, which can wait for a resolver. */
const CHECK_MS = 30_000;
const MAX_OUTPUT_BYTES = 8 << 20;
/** From here on a code is the shell's own: not found, not to be run, ended by a signal. */
const SHELL_CODES = 126;

/** Checks the files it is told, one a line, and says how each check ended. It ends with its input. */
const LOOP =
  'while IFS= read -r file; do "$0" -c -f "$file" </dev/null 2>&1; printf "\\n%s %d\\n" "$1" "$?"; done';

/** A shell that waits for its next file. */
interface Shell {
  readonly binary: string;
  readonly child: ChildProcess;
  /** Begins the line that ends an answer: nothing in a configuration can look like it. */
  readonly mark: string;
  hasEnded: boolean;
}

/** The one that was used last, kept for the next check. */
let kept: Shell | undefined;

/**
 * Runs `haproxy -c` on a file. To start a program costs the more the larger the process is that starts it,
 * for it is copied first: 1 ms at 50 MB, 6 at 150 and 39 at 350 (measured, busy machine). So a shell of ours,
 * which is small, starts them. It lives as long as the agent and costs 1 MB; when it is gone there is
 * another.
 * @throws Error when it could not be run to its end, or `signal.reason`
 */
export async function runCheck(binary: string, path: string, signal: AbortSignal): Promise<Ended> {
  signal.throwIfAborted();
  if (path.includes('\n')) throw new Error('the path has more than one line');
  const waiting = take(binary);
  try {
    return await runIn(waiting ?? startShell(binary), path, signal);
  } catch (error) {
    // It was killed while it waited, and nobody had looked.
    if (!(error instanceof ShellEnded) || waiting === undefined) throw error;
    return await runIn(startShell(binary), path, signal);
  }
}

class ShellEnded extends Error {}

function take(binary: string): Shell | undefined {
  const shell = kept;
  if (shell === undefined || shell.hasEnded || shell.binary !== binary) return undefined;
  kept = undefined;
  return shell;
}

function startShell(binary: string): Shell {
  const mark = randomBytes(16).toString('hex');
  const child = spawn('/bin/sh', ['-c', LOOP, binary, mark], {
    // HAProxy complains about a working directory that its user may not enter.
    cwd: '/',
    // A group of its own, so that one signal ends it with what it runs.
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: checkEnvironment(),
  });
  const shell: Shell = { binary, child, mark, hasEnded: false };
  const onEnd = (): void => {
    shell.hasEnded = true;
    if (kept === shell) kept = undefined;
  };
  child.on('error', onEnd).on('exit', onEnd);
  // What is written to one that has gone is not lost: `exit` tells.
  child.stdin?.on('error', () => undefined);
  // The agent does not live on for its sake.
  child.unref();
  for (const stream of [child.stdin, child.stdout]) if (stream instanceof Socket) stream.unref();
  return shell;
}

/**
 * Its memory in large pages, where the kernel has some: of a host with 200 apps that is a tenth of the
 * time. Changes nothing of what is checked; another C library than glibc does not know it.
 */
function checkEnvironment(): NodeJS.ProcessEnv {
  return { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1', ...process.env };
}

function runIn(shell: Shell, path: string, signal: AbortSignal): Promise<Ended> {
  const { child, mark } = shell;
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const received: Buffer[] = [];
  let bytes = 0;
  const giveUp = (error: unknown): void => {
    kill(shell);
    reject(error);
  };
  const onData = (chunk: Buffer): void => {
    received.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_OUTPUT_BYTES) {
      giveUp(new Error('it says more than 8 MiB'));
      return;
    }
    // A check says little, and mostly in one piece.
    const text = Buffer.concat(received).toString('utf8');
    const found = new RegExp(`\\n${mark} (\\d+)\\n$`).exec(text);
    if (found === null) return;
    const code = Number(found[1]);
    const output = text.slice(0, found.index);
    if (code >= SHELL_CODES) reject(new Error(output.trim() || `it ended with code ${code}`));
    else resolve({ code, output });
  };
  const onError = (error: Error): void => giveUp(error);
  const onExit = (): void => reject(new ShellEnded('the shell that runs it has ended'));
  const onAbort = (): void => giveUp(signal.reason);
  const deadline = setTimeout(() => giveUp(new Error(`not done in ${CHECK_MS} ms`)), CHECK_MS);
  child.stdout?.on('data', onData);
  child.on('error', onError).on('exit', onExit);
  signal.addEventListener('abort', onAbort, { once: true });
  if (shell.hasEnded) onExit();
  else child.stdin?.write(`${path}\n`);
  return promise.finally(() => {
    clearTimeout(deadline);
    child.stdout?.off('data', onData);
    child.off('error', onError).off('exit', onExit);
    signal.removeEventListener('abort', onAbort);
    keep(shell);
  });
}

/** For the next check; of several that ran at once one is enough. */
function keep(shell: Shell): void {
  if (shell.hasEnded) return;
  if (kept === undefined) kept = shell;
  else shell.child.stdin?.end();
}

/** With the check that it runs. */
function kill(shell: Shell): void {
  shell.hasEnded = true;
  if (shell.child.pid === undefined) return;
  try {
    process.kill(-shell.child.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
