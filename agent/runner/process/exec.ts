import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { execScripts } from '../exec/script.ts';
import { type ExecLauncher, openSession } from '../exec/session.ts';
import type { ExecSession, ExecSpec } from '../runner.ts';
import { killMarked, signalMarked } from './ending.ts';
import { baseEnvironment } from './environment.ts';
import { processesWith } from './proc.ts';
import { markOf, newOnceFolder, type OnceSurroundings } from './run-once.ts';

/** How long processes may take to be gone after SIGKILL, ms. */
const KILL_MS = 30_000;

/**
 * A command in a release with its streams in our hands, as the daemon's own user. Its folder is
 * written before it is spawned, so that a later daemon can end it.
 * @throws ZDD_EXEC_FAILED; the reason of `signal`
 */
export async function exec(
  spec: ExecSpec,
  { stateDir, script, path }: Omit<OnceSurroundings, 'detached'>,
  signal: AbortSignal,
): Promise<ExecSession> {
  const { token, folder } = newOnceFolder(stateDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const base = baseEnvironment(path);
  const around = { path, home: homedir(), lang: base['LANG'] ?? 'C.UTF-8' };
  const { start, run } = execScripts(spec, folder, around);
  await writeFile(join(folder, 'start'), start, { mode: 0o600 });
  await writeFile(join(folder, 'run'), run, { mode: 0o600 });
  const words = [script, 'once', join(folder, 'life'), 'words', '/bin/sh', join(folder, 'start')];
  const launcher = launcherOf(words, { ...base, ZDD_ONCE: token }, markOf(token), folder);
  return await openSession(folder, launcher, signal);
}

function launcherOf(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  mark: string,
  folder: string,
): ExecLauncher {
  let child: ChildProcess | undefined;
  return {
    async launch() {
      child = spawn('/bin/sh', words, { env, detached: true, stdio: 'ignore' });
      child.on('error', () => {});
    },
    async failure(signal) {
      if (child === undefined) throw new Error('nothing was launched');
      if (child.exitCode === null && child.signalCode === null)
        await once(child, 'exit', { signal });
      return `its shell ended with ${child.exitCode ?? child.signalCode}`;
    },
    // By the mark and not by the group: a terminal is a session of its own.
    async kill(name) {
      signalMarked(mark, name);
    },
    isGone: async () => processesWith(mark).length === 0,
    async finish() {
      await killMarked(mark, AbortSignal.timeout(KILL_MS));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
