import { mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { now } from '../../load/outcome.ts';
import { ensurePeers } from './distribution.ts';
import { INSTANCES, STOP_MS, type Stage, untilAnswers } from './stage.ts';
import type { RunningTool, Tool } from './tool.ts';

const PM2 = fileURLToPath(new URL('../peers/node_modules/pm2/bin/pm2', import.meta.url));

/** pm2 in cluster mode: the `current` link is turned to the new release, then `pm2 reload`. */
export const pm2: Tool = {
  name: 'pm2 reload',
  prepare: ensurePeers,

  async start(stage): Promise<RunningTool> {
    const folder = join(stage.folder, 'pm2');
    const current = join(folder, 'current');
    const ecosystem = join(folder, 'ecosystem.config.cjs');
    const port = await stage.freePort();
    await mkdir(folder, { recursive: true });
    await writeFile(ecosystem, config(current, port));
    await turn(stage, current, 'v1');
    const command = (...args: string[]): Promise<void> =>
      stage
        .run(process.execPath, [PM2, ...args], {
          cwd: folder,
          env: { PM2_HOME: folder, PM2_DISABLE_VERSION_CHECK: 'true', NO_COLOR: '1' },
        })
        .succeeded();
    const url = `http://127.0.0.1:${port}`;
    try {
      await command('start', ecosystem);
      await untilAnswers(url, stage.signal);
    } catch (error) {
      await endDaemon(folder);
      throw error;
    }

    return {
      url,
      async switchTo(version) {
        await turn(stage, current, version);
        const commandAt = now();
        await command('reload', ecosystem);
        const endedAt = now();
        return { release: version, beganAt: commandAt, commandAt, stopAt: endedAt, endedAt };
      },
      async [Symbol.asyncDispose]() {
        await endDaemon(folder);
      },
    };
  },
};

/** Its documentation's cluster mode with graceful start and stop. */
function config(current: string, port: number): string {
  const app = {
    name: 'shop',
    script: 'server.js',
    cwd: current,
    exec_mode: 'cluster',
    instances: INSTANCES,
    wait_ready: true,
    listen_timeout: 10_000,
    kill_timeout: 10_000,
    env: { PORT: String(port) },
  };
  return `module.exports = ${JSON.stringify({ apps: [app] })};\n`;
}

async function turn(stage: Stage, current: string, version: string): Promise<void> {
  await symlink(await stage.releaseFolder(version), `${current}.new`);
  await rename(`${current}.new`, current);
}

/** pm2's daemon detaches itself from who started it; its apps end with it. */
async function endDaemon(folder: string): Promise<void> {
  const text = await readFile(join(folder, 'pm2.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const pid = Number(text);
  const deadline = performance.now() + STOP_MS;
  let signal: NodeJS.Signals | 0 = 'SIGTERM';
  while (send(pid, signal)) {
    signal = performance.now() > deadline ? 'SIGKILL' : 0;
    await wait(50);
  }
}

/** Sends a signal. @returns false when the process is gone. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
