import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../../build/bundle.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { openRelay, type Relay } from '../../test/cli/connect/relay.ts';
import { makeKey, type Sshd, startSshd, USER } from '../../test/cli/connect/sshd.ts';
import { BenchError } from '../bench.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COMMAND_MS = 120_000;
const ROOM = ['--min-semi-space-size=32', '--max-semi-space-size=32'];

/** How a command went, and when it said what: ms from its start. */
export interface Timed {
  readonly totalMs: number;
  /** Of its first byte of output. */
  readonly firstMs: number;
  /** Of each line that it printed on stderr, in order. */
  readonly lines: readonly { readonly text: string; readonly atMs: number }[];
}

/** An sshd, an agent behind it, and what a laptop needs to reach them. */
export interface Stage extends AsyncDisposable {
  readonly folder: string;
  readonly host: PrivateHost;
  /** Counts what passes between the laptop and the sshd. */
  readonly relay: Relay;
  /** Options for ssh, scp and rsync. @param counted through the relay */
  ssh(counted: boolean): readonly string[];
  /** The bundled CLI over SSH. @param counted through the relay */
  cli(args: readonly string[], options?: { cwd?: string; counted?: boolean }): Promise<Timed>;
  run(program: string, args: readonly string[]): Promise<Timed>;
}

export const DESTINATION = `${USER}@127.0.0.1`;

export async function openStage(signal: AbortSignal): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'zdd-bench-'));
  const host = await PrivateHost.start();
  const home = join(folder, 'home');
  await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const sshd = await startSshd(join(folder, 'sshd'));
  const relay = await openRelay(sshd.port);
  await writeKeys(join(home, '.ssh'), sshd, relay.port);
  const program = join(folder, 'zdd-agent.mjs');
  await writeFile(program, (await bundle(ROOT, 'cli/main.ts')).code);
  const env = {
    ...process.env,
    HOME: home,
    NODE_COMPILE_CACHE: join(folder, 'cache'),
    SSH_AUTH_SOCK: '',
  };
  const start = (name: string, args: readonly string[], cwd = folder) =>
    timed(name, args, { cwd, env, signal });
  return {
    folder,
    host,
    relay,
    ssh: (counted) => [
      ...['-p', String(counted ? relay.port : sshd.port)],
      ...['-i', join(home, '.ssh', 'id_ed25519')],
      ...['-o', `UserKnownHostsFile=${join(home, '.ssh', 'known_hosts')}`],
      ...['-o', 'IdentitiesOnly=yes'],
    ],
    cli: (args, { cwd, counted = false } = {}) => {
      const port = counted ? relay.port : sshd.port;
      const there = ['--host', `${DESTINATION}:${port}`, '--socket', host.socket];
      // What the launcher of the package adds.
      const runtime = ['--disable-warning=ExperimentalWarning', ...ROOM, program];
      return start(process.execPath, [...runtime, ...args, ...there], cwd);
    },
    run: (name, args) => start(name, args),
    async [Symbol.asyncDispose]() {
      await relay.close();
      await sshd.stop();
      await host.remove();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function writeKeys(folder: string, sshd: Sshd, relayed: number): Promise<void> {
  await sshd.allow(await makeKey(join(folder, 'id_ed25519')));
  const keys = [...sshd.publicKeys.values()];
  const lines = [sshd.port, relayed].flatMap((port) =>
    keys.map((key) => `[127.0.0.1]:${port} ${key}\n`),
  );
  await writeFile(join(folder, 'known_hosts'), lines.join(''));
}

function timed(
  program: string,
  args: readonly string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(program, args, {
      ...options,
      timeout: COMMAND_MS,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let firstMs: number | undefined;
    let said = '';
    const lines: { text: string; atMs: number }[] = [];
    const first = (): void => {
      firstMs ??= performance.now() - started;
    };
    child.stdout.on('data', first);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      first();
      said += text;
      const atMs = performance.now() - started;
      for (const line of text.split('\n')) lines.push({ text: line, atMs });
    });
    child.once('error', (cause) => reject(new BenchError(`${program}: ${cause.message}`)));
    child.once('close', (code) => {
      const totalMs = performance.now() - started;
      if (code === 0) return resolve({ totalMs, firstMs: firstMs ?? totalMs, lines });
      reject(new BenchError(`${program} ${args.join(' ')} ended with ${code}: ${said}`));
    });
  });
}
