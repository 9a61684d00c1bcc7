import { type ChildProcess, spawn } from 'node:child_process';
import type { InstanceSpec } from '../runner.ts';
import { commandWords } from './holder-script.ts';
import { withListener } from './listener.ts';

/** Pauses between a crash and the next start. */
export interface Backoff {
  /** The first pause, ms; it doubles with each crash. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** After a run this long the pause is the first again, ms. */
  readonly steadyMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 300, maxMs: 30_000, steadyMs: 60_000 };

export interface Launch {
  readonly spec: InstanceSpec;
  /** The holder script, see `holder-script.ts`. */
  readonly script: string;
  readonly life: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly backoff: Backoff;
  /** Descriptors of the output files, opened for appending. */
  readonly out: number;
  readonly err: number;
}

/**
 * Spawns the holder of a slot in its own session, tied to the daemon by nothing: no pipe, no
 * terminal. Whether it came to run, and which app runs, is in the life file.
 * @throws ZDD_PORT_IN_USE, ZDD_START_FAILED (activation), or what spawn(2) says
 */
export async function launchHolder(launch: Launch): Promise<ChildProcess> {
  const { listen } = launch.spec;
  return listen.kind !== 'none' && listen.activation
    ? await withListener(listen, (fd) => spawnHolder(launch, fd))
    : await spawnHolder(launch, undefined);
}

/** Has spawned when it returns; the promise tells whether that went well. */
function spawnHolder(launch: Launch, listener: number | undefined): Promise<ChildProcess> {
  const { spec, script, life, environment, backoff, out, err } = launch;
  const stale = spec.listen.kind === 'unix' && listener === undefined ? spec.listen.path : '';
  const holder = spawn(
    '/bin/sh',
    [
      script,
      'hold',
      life,
      stale,
      String(backoff.firstMs),
      String(backoff.maxMs),
      String(Math.ceil(backoff.steadyMs / 1_000)),
      spec.limits?.nofile === undefined ? '' : String(spec.limits.nofile),
      listener === undefined ? 'plain' : 'fd',
      ...commandWords(spec.command),
    ],
    {
      cwd: spec.cwd,
      env: environment,
      detached: true,
      // As stdin too: libuv makes stdin blocking, and with it the listener it shares.
      stdio: listener === undefined ? ['ignore', out, err] : [listener, out, err, listener],
    },
  );
  holder.unref();
  const { promise, resolve, reject } = Promise.withResolvers<ChildProcess>();
  holder.once('spawn', () => resolve(holder));
  holder.once('error', reject);
  return promise;
}
