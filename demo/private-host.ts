import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { z } from 'zod';
import { stopEmbedded } from '../agent/haproxy/haproxy.ts';
import type { AppStatus } from '../agent/protocol/api.ts';
import { event, type Receipt, type ZddEvent } from '../agent/protocol/events.ts';
import { statusReply } from '../agent/protocol/status.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const START_MS = 20_000;
/** A deadline is there to end what hangs: a machine with other work takes that much longer. */
const PATIENCE = 3;
const POLL_MS = 25;

/** What a command of the CLI left behind. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PrivateHostOptions {
  /** Added to the generated `agent.yaml`, key by key. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Added to its `haproxy`, key by key. */
  readonly haproxy?: Readonly<Record<string, unknown>>;
  /** Environment of the daemon, beside the present one. */
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A whole host in a temporary folder: a real HAProxy on a free loopback port, a real `zdd-agentd`
 * with the `process` runner. No root, nothing outside the folder. For the demo, tests and benches.
 */
export class PrivateHost {
  readonly dir: string;
  readonly url: string;
  readonly socket: string;
  readonly #configuration: string;
  readonly #env: NodeJS.ProcessEnv;
  #daemon: ChildProcess | null = null;

  private constructor(dir: string, port: number, env: Readonly<Record<string, string>>) {
    this.dir = dir;
    this.url = `http://127.0.0.1:${port}`;
    this.socket = join(dir, 'run', 'agent.sock');
    this.#configuration = join(dir, 'agent.yaml');
    this.#env = { ...process.env, ...env };
  }

  /** Lays the host out and starts its daemon. */
  static async start(options: PrivateHostOptions = {}): Promise<PrivateHost> {
    const host = await PrivateHost.prepare(options);
    await host.startDaemon();
    return host;
  }

  /** Lays the host out; nothing runs yet. */
  static async prepare({
    settings = {},
    haproxy = {},
    env = {},
  }: PrivateHostOptions = {}): Promise<PrivateHost> {
    const dir = await mkdtemp(join(tmpdir(), 'zdd-'));
    const port = await freePort();
    const host = new PrivateHost(dir, port, env);
    await mkdir(join(dir, 'run'), { recursive: true });
    await writeFile(
      join(dir, 'agent.yaml'),
      stringify({
        state_dir: join(dir, 'state'),
        run_dir: join(dir, 'run'),
        path: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
        haproxy: {
          mode: 'embedded',
          bind: [`127.0.0.1:${port}`],
          // Set for a whole run by `npm test -- --switch reload`.
          switch: process.env['ZDD_TEST_SWITCH'] ?? 'auto',
          ...haproxy,
        },
        ...settings,
      }),
    );
    return host;
  }

  get daemonPid(): number {
    const pid = this.#daemon?.pid;
    if (pid === undefined) throw new Error('the daemon does not run');
    return pid;
  }

  get stateDir(): string {
    return join(this.dir, 'state');
  }

  /** The daemon's log so far. */
  async log(): Promise<string> {
    return await readFile(join(this.dir, 'agentd.log'), 'utf8').catch(() => '');
  }

  /** Starts the daemon, detached, and waits until it takes wishes. */
  async startDaemon(): Promise<void> {
    const log = await open(join(this.dir, 'agentd.log'), 'a');
    try {
      const child = spawn(join(ROOT, 'bin/zdd-agentd'), ['--config', this.#configuration], {
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: this.#env,
      });
      child.unref();
      this.#daemon = child;
    } finally {
      await log.close();
    }
    const before = (await this.log()).split('agent ready').length;
    await this.#until('the daemon to be ready', START_MS, async () => {
      if (this.#daemon?.exitCode !== null && this.#daemon?.exitCode !== undefined) {
        throw new Error(`zdd-agentd ended with ${this.#daemon.exitCode}:\n${await this.log()}`);
      }
      return (await this.log()).split('agent ready').length > before;
    });
  }

  /** Ends the daemon; what it runs goes on. Returns its exit code, null when a signal ended it. */
  async stopDaemon(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const daemon = this.#daemon;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return null;
    daemon.ref();
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill(signal);
    await gone;
    this.#daemon = null;
    return daemon.exitCode;
  }

  /** Runs the real CLI against this host. */
  async cli(args: readonly string[], onOutput?: (text: string) => void): Promise<CliResult> {
    const child = spawn(join(ROOT, 'bin/zdd-agent'), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...this.#env, ZDD_SOCKET_PATH: this.socket, NO_COLOR: '1' },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput?.(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onOutput?.(text);
    });
    const code = await new Promise<number>((resolve) => {
      child.once('close', (exit) => resolve(exit ?? 128));
    });
    return { code, stdout, stderr };
  }

  /** One command on the admin socket of its HAProxy. */
  async ask(command: string): Promise<string> {
    return await askHaproxy(join(this.dir, 'run', 'haproxy-admin.sock'), command);
  }

  /** The same on the master's socket. */
  async askMaster(command: string): Promise<string> {
    const socket = join(this.dir, 'run', 'haproxy-master.sock');
    // At a reload the master executes itself anew: it refuses for a moment, and drops who is being answered.
    const anew: readonly unknown[] = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'];
    return await this.#until('the master to take it', 10_000, () =>
      askHaproxy(socket, command).catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && anew.includes(error.code)) return false;
        throw error;
      }),
    );
  }

  /** One request to the control API. */
  async api(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    return await new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.socket,
          method,
          path,
          agent: false,
          timeout: 20_000,
          headers: { 'content-type': 'application/json', ...headers },
        },
        (incoming) => {
          let text = '';
          incoming.setEncoding('utf8');
          incoming.on('data', (chunk: string) => {
            text += chunk;
          });
          incoming.on('error', reject);
          incoming.on('end', () => resolve(text));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    }).then((text) => {
      const lines = String(text)
        .split('\n')
        .filter((line) => line !== '');
      return path.startsWith('/v1/events')
        ? lines.map((line): unknown => JSON.parse(line))
        : JSON.parse(String(text));
    });
  }

  /** The whole story so far. */
  async events(since = 0): Promise<ZddEvent[]> {
    return z.array(event).parse(await this.api('GET', `/v1/events?since=${since}`));
  }

  async app(name: string): Promise<AppStatus | undefined> {
    const { apps } = statusReply.parse(await this.api('GET', '/v1/status'));
    return apps.find(({ app }) => app === name);
  }

  /** The receipt of a deployment, once it has ended. */
  async receipt(app: string, deployment: number, withinMs = 60_000): Promise<Receipt> {
    return await this.#until(`deployment #${deployment} of ${app} to end`, withinMs, async () => {
      for (const told of await this.events()) {
        if (told.type !== 'deployment_ended') continue;
        if (told.app === app && told.deployment === deployment) return told.receipt;
      }
      return undefined;
    });
  }

  /** Waits until `look` gives something. A daemon that is away meanwhile is waited for. */
  async until<T>(
    what: string,
    withinMs: number,
    look: () => Promise<T | undefined | false>,
  ): Promise<T> {
    return await this.#until(what, withinMs, look);
  }

  async #until<T>(
    what: string,
    withinMs: number,
    look: () => Promise<T | undefined | false>,
  ): Promise<T> {
    const deadline = performance.now() + PATIENCE * withinMs;
    for (;;) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      if (performance.now() > deadline) {
        throw new Error(
          `waited ${PATIENCE * withinMs} ms for ${what}\n${(await this.log()).slice(-4_000)}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  /** Stops everything this host started, by pid, and removes the folder. */
  async remove(): Promise<void> {
    await this.stopDaemon('SIGKILL');
    await PrivateHost.removeAt(this.dir);
  }

  /** The same for a host that some other process has started: what a kept demo leaves. */
  static async removeAt(dir: string): Promise<void> {
    // The daemon first: it would start again what is stopped here.
    for (const pid of await pidsOf(dir, 'agent.yaml')) kill(pid, 'SIGKILL');
    await stopEmbedded(join(dir, 'state', 'haproxy'));
    for (const pid of await pidsOf(dir, '')) kill(pid, 'SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

/** Processes that work in this folder, or whose command line names a file in it. */
async function pidsOf(dir: string, file: string): Promise<number[]> {
  const pids: number[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (command.includes(`${dir}/${file}`) || (file === '' && cwd.startsWith(`${dir}/`))) {
      pids.push(pid);
    }
  }
  return pids;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** As an admin does with socat: one command, the answer, the end. */
async function askHaproxy(path: string, command: string): Promise<string> {
  const socket = connect(path);
  socket.end(`${command}\n`);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

/** A TCP port of the loopback that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
