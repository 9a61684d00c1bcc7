import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readStat } from '../../agent/runner/process/proc.ts';
import { createProcessRunner } from '../../agent/runner/process/process-runner.ts';
import type { InstanceExited, InstanceSpec, Runner } from '../../agent/runner/runner.ts';

/** Never aborted. */
export const UNENDING: AbortSignal = new AbortController().signal;

/** Waits for a condition; a test that waits in vain fails with its name. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether a pid runs; zombies do not. */
export function runs(pid: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && stat.state !== 'Z';
}

/** A folder with a runner in it, and everything that a test starts: all gone after `close`. */
export class Laboratory {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'zdd-r-'));
  readonly stateDir: string = join(this.folder, 'instances');
  readonly #runners: Runner[] = [];
  readonly #children: ChildProcess[] = [];

  /** A new runner on the same state: what a restarted daemon has. */
  runner(more: { outputLimitBytes?: number; from?: number; to?: number } = {}): Runner {
    const runner = createProcessRunner({
      stateDir: this.stateDir,
      ports: { from: more.from ?? 21_000, to: more.to ?? 21_999 },
      path: '/usr/local/bin:/usr/bin:/bin',
      ...(more.outputLimitBytes === undefined ? {} : { outputLimitBytes: more.outputLimitBytes }),
      backoff: { firstMs: 100, maxMs: 1_000, steadyMs: 60_000 },
      log: () => {},
    });
    this.#runners.push(runner);
    return runner;
  }

  spec(more: Partial<InstanceSpec> & Pick<InstanceSpec, 'command'>): InstanceSpec {
    return {
      slot: 'shop.r1-d1-web-1',
      app: 'shop',
      release: 'r1',
      process: 'web',
      cwd: this.folder,
      env: {},
      listen: { kind: 'none' },
      ...more,
    };
  }

  /** Writes a file into the folder; returns its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o755 });
    return path;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  read(name: string): string {
    const path = join(this.folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** The numbers, one a line, that apps have written into a file. */
  numbers(name: string): number[] {
    return this.read(name).split('\n').filter(Boolean).map(Number);
  }

  spawn(command: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  /** A separate process that hosts a runner on the same state; see `host.ts`. */
  host(mode: string, spec: InstanceSpec): ChildProcess {
    const path = this.file(`spec-${mode}.json`, JSON.stringify(spec));
    return this.spawn(process.execPath, [
      join(import.meta.dirname, 'host.ts'),
      this.stateDir,
      mode,
      path,
    ]);
  }

  /** Every live process that was started in this folder or for it. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid && runs(pid) && this.#isMine(pid));
  }

  async close(): Promise<void> {
    for (const runner of this.#runners) await runner.detach();
    for (const child of this.#children) child.kill('SIGKILL');
    await eventually('everything of the test is gone', () => {
      const left = this.processes();
      for (const pid of left) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended between being listed and being killed.
        }
      }
      return left.length === 0;
    });
    rmSync(this.folder, { recursive: true, force: true });
  }

  #isMine(pid: number): boolean {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return environment.includes(this.folder) || line.includes(this.folder);
    } catch {
      return false;
    }
  }
}

/** Ends of a runner, as they are told. */
export function endsOf(runner: Runner): InstanceExited[] {
  const ends: InstanceExited[] = [];
  runner.onExit((exited) => ends.push(exited));
  return ends;
}

/** The pid of a running slot. */
export function pidOf(runner: Runner, slot: string): number {
  const status = runner.status(slot);
  if (status.state !== 'running') throw new Error(`${slot} is ${status.state}`);
  return status.pid;
}
