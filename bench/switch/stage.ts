import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { layOutRelease } from '../../examples/build-release.ts';
import { BenchError, type BenchSession } from '../bench.ts';

/** Instances of the app in each release, where a tool can run more than one. */
export const INSTANCES = 2;
/** The pause between the switch and SIGTERM to the old processes, where users do that by hand. */
export const HOLD_MS = 2_000;

const START_MS = 15_000;
/** From SIGTERM to SIGKILL. */
export const STOP_MS = 15_000;

/** What a tool may use: a private folder that is removed, processes that are ended. */
export interface Stage extends AsyncDisposable, BenchSession {
  readonly folder: string;
  /** The folder of the example app in this version, laid out once. */
  releaseFolder(version: string): Promise<string>;
  freePort(): Promise<number>;
  /** Starts a program in the stage; it is killed with the stage, if not before. */
  run(program: string, args: readonly string[], options?: RunOptions): Program;
  /** Starts one instance of the app and waits until it is healthy. */
  startApp(version: string, port: number): Promise<Program>;
  wait(ms: number): Promise<void>;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process of the stage. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  /** What it has printed, the last 4 kB of it. */
  readonly output: () => string;
  /** SIGTERM, and SIGKILL when it does not end in time; resolves when it is gone. */
  stop(): Promise<void>;
  /** Resolves at its end. @throws BenchError with its last output when it failed. */
  succeeded(): Promise<void>;
}

export async function openStage(session: BenchSession): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-bench-'));
  const programs = new Set<ChildProcess>();
  const releases = new Map<string, Promise<string>>();

  const layOut = async (version: string): Promise<string> => {
    const path = join(folder, 'releases', version);
    await mkdir(path, { recursive: true });
    await layOutRelease(path, { behaviour: { version } });
    return path;
  };

  const stage: Stage = {
    ...session,
    folder,
    releaseFolder(version) {
      const path = releases.get(version) ?? layOut(version);
      releases.set(version, path);
      return path;
    },
    freePort,
    run(program, args, options = {}) {
      session.signal.throwIfAborted();
      const child = spawn(program, args, {
        cwd: options.cwd ?? folder,
        env: { ...process.env, ...options.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      programs.add(child);
      child.once('exit', () => programs.delete(child));
      return programOf(child, program);
    },
    async startApp(version, port) {
      const app = stage.run(process.execPath, ['server.js'], {
        cwd: await stage.releaseFolder(version),
        env: { PORT: String(port) },
      });
      await untilAnswers(`http://127.0.0.1:${port}/healthz`, session.signal);
      return app;
    },
    async wait(ms) {
      await wait(ms, undefined, { signal: session.signal });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...programs].map((child) => end(child, 2_000)));
      await rm(folder, { recursive: true, force: true });
    },
  };
  return stage;
}

/** Waits until a GET is answered with 200. @throws BenchError after 15 s. */
export async function untilAnswers(url: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (!(await answers(url))) {
    if (performance.now() > deadline) throw new BenchError(`${url} did not answer within 15 s`);
    await wait(20, undefined, { signal });
  }
}

async function answers(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  get(url, { agent: false, timeout: 1_000 }, (response) => {
    response.resume();
    resolve(response.statusCode === 200);
  })
    .on('timeout', () => resolve(false))
    .on('error', () => resolve(false));
  return promise;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new BenchError('no free port');
  return address.port;
}

function programOf(child: ChildProcess, name: string): Program {
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4_000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const ended = once(child, 'close');
  // Only who asks for the end hears that it could not even start.
  ended.catch(() => undefined);
  return {
    name,
    pid: child.pid ?? 0,
    output: () => output,
    stop: () => end(child, STOP_MS),
    async succeeded() {
      try {
        await ended;
      } catch (error) {
        throw new BenchError(`${name} did not start: ${String(error)}`);
      }
      if (child.exitCode !== 0) {
        throw new BenchError(`${name} ended with ${child.exitCode ?? child.signalCode}: ${output}`);
      }
    },
  };
}

async function end(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await gone;
  clearTimeout(late);
}
