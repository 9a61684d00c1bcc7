import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ZddError } from '../../protocol/errors.ts';
import type { Exit, OnceResult, OnceSpec } from '../runner.ts';
import { endProcesses, killMarked, killProcesses, type ProcessGroup, survives } from './ending.ts';
import { baseEnvironment } from './environment.ts';
import { commandWords } from './holder-script.ts';
import { readLife, revoke } from './life.ts';
import { LineSplitter } from './output/lines.ts';
import { bootId, readStat } from './proc.ts';
import { orAborted, pause } from './wait.ts';

/** Lines of output that are kept. */
const KEPT_LINES = 200;
/** From SIGTERM to SIGKILL, ms. */
const GRACE_MS = 5_000;
/** How long output may still come when every process is gone, ms. */
const FLUSH_MS = 1_000;

export interface OnceSurroundings {
  readonly stateDir: string;
  readonly script: string;
  readonly path: string;
  readonly detached: AbortSignal;
}

/**
 * Runs a command to its end in its own process group, of which nothing is left when this resolves
 * or throws. Its folder is written before it is spawned, so that a later daemon can end it.
 * @throws ZDD_RELEASE_COMMAND_FAILED when it cannot be spawned; the reason of `signal`
 */
export async function runOnce(
  spec: OnceSpec,
  around: OnceSurroundings,
  signal: AbortSignal,
): Promise<OnceResult> {
  signal.throwIfAborted();
  await requireFolder(spec.cwd);
  const { token, folder } = newOnceFolder(around.stateDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    return await runIn(folder, token, spec, around, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A folder for one command, of which `endLeftOver` knows by its name what it was; not made yet. */
export function newOnceFolder(stateDir: string): { token: string; folder: string } {
  const token = `${bootId()}.${randomUUID()}`;
  return { token, folder: join(onceFolder(stateDir), token) };
}

/** Ends what an earlier daemon was running when it died, and whatever of it comes late. */
export async function endLeftOver(stateDir: string, signal: AbortSignal): Promise<void> {
  const names = await readdir(onceFolder(stateDir)).catch(() => []);
  await Promise.all(
    names.map(async (token) => {
      const folder = join(onceFolder(stateDir), token);
      const path = join(folder, 'life');
      if (token.startsWith(`${bootId()}.`) && !revoke(path)) {
        const leader = readLife(path)?.holder ?? null;
        const group = leader && groupOf(token, leader);
        const deadline = Date.now() + GRACE_MS;
        if (group)
          await endProcesses(
            () => group,
            () => deadline,
            signal,
          );
        // A session with a terminal leads a group of its own.
        await killMarked(markOf(token), signal);
      }
      await rm(folder, { recursive: true, force: true });
    }),
  );
}

async function runIn(
  folder: string,
  token: string,
  { command, cwd, env, timeoutMs }: OnceSpec,
  { script, path, detached }: OnceSurroundings,
  signal: AbortSignal,
): Promise<OnceResult> {
  const child = spawn('/bin/sh', [script, 'once', join(folder, 'life'), ...commandWords(command)], {
    cwd,
    env: { ...baseEnvironment(path), ...env, ZDD_ONCE: token },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = new LastLines();
  output.read(child.stdout);
  output.read(child.stderr);
  const exited = exitOf(child);
  const group = groupOf(token, await identityOf(child));
  const limit = AbortSignal.timeout(timeoutMs);
  const exit = await orAborted(exited, AbortSignal.any([signal, limit])).catch(async () => {
    const deadline = Date.now() + GRACE_MS;
    await endProcesses(
      () => group,
      () => deadline,
      detached,
    );
    return undefined;
  });
  // Whatever the command left in the background would outlive the deployment.
  if (survives(group)) await killProcesses(() => group, detached);
  await output.end(child);
  signal.throwIfAborted();
  return {
    exit: exit ?? (await exited),
    timedOut: exit === undefined,
    output: output.lines,
  };
}

function onceFolder(stateDir: string): string {
  return join(stateDir, '.once');
}

/** `NAME=value` that everything of a command was started with. */
export function markOf(token: string): string {
  return `ZDD_ONCE=${token}`;
}

function groupOf(token: string, leader: ProcessGroup['leader']): ProcessGroup {
  return { name: 'the command', mark: markOf(token), leader, app: leader };
}

async function identityOf(child: ChildProcess): Promise<ProcessGroup['leader']> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('spawn', resolve);
  child.once('error', reject);
  // Read before anything is awaited: until then its pid cannot have been given away.
  const stat = child.pid === undefined ? undefined : readStat(child.pid);
  await promise.catch((error: unknown) => {
    throw new ZddError('ZDD_RELEASE_COMMAND_FAILED', 'the command cannot be spawned', {
      cause: error,
    });
  });
  if (stat === undefined) throw new Error('a spawned child has no entry in /proc');
  return stat;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  const { promise, resolve } = Promise.withResolvers<Exit>();
  child.once('exit', (code, signal) => resolve({ code, signal }));
  return promise;
}

async function requireFolder(cwd: string): Promise<void> {
  const found = await stat(cwd).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  throw new ZddError('ZDD_RELEASE_COMMAND_FAILED', `there is no folder ${cwd}`);
}

class LastLines {
  readonly lines: string[] = [];
  readonly #splitters: LineSplitter[] = [];
  readonly #closed: Promise<void>[] = [];

  read(stream: Readable): void {
    const splitter = new LineSplitter();
    this.#splitters.push(splitter);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed.push(promise);
    stream.once('close', resolve);
    stream.on('data', (bytes: Buffer) => this.#keep(splitter.push(bytes)));
  }

  /** A process that has left the group may keep the pipes open; it is not waited for. */
  async end({ stdout, stderr }: ChildProcess): Promise<void> {
    const flushed = new AbortController();
    const closed = Promise.all(this.#closed).then(() => flushed.abort());
    await Promise.race([closed, pause(FLUSH_MS, flushed.signal)]);
    stdout?.destroy();
    stderr?.destroy();
    for (const splitter of this.#splitters) this.#keep(splitter.end());
  }

  #keep(lines: readonly string[]): void {
    this.lines.push(...lines);
    if (this.lines.length > KEPT_LINES) this.lines.splice(0, this.lines.length - KEPT_LINES);
  }
}
