import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type Ran, type Running, startCli, until } from '../run-cli.ts';

const SSHD = '/usr/sbin/sshd';
export const USER = userInfo().username;

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

/** A real sshd of this machine on a loopback port, with keys and configuration of its own. */
export interface Sshd {
  readonly port: number;
  /** `ssh-ed25519 AAAA...` of each of its host keys. */
  readonly publicKeys: ReadonlyMap<KeyType, string>;
  /** `user@127.0.0.1:port` */
  readonly destination: string;
  /** As known_hosts names it. */
  readonly known: string;
  allow(publicKey: string): Promise<void>;
  log(): string;
  /** Kills what serves the connections that stand now, as a broken network would end them. */
  cut(): Promise<number>;
  /** Stops what serves the connections that stand now: they are there, and silent for ever. */
  freeze(): Promise<void>;
  stop(): Promise<void>;
}

export interface SshdOptions {
  readonly hostKeys?: readonly KeyType[];
  /** Lines of sshd_config, before the usual ones: the first value counts. */
  readonly config?: readonly string[];
  /** Keep the keys of an earlier one in this folder. */
  readonly port?: number;
  /** Called when its keys are made and it does not run yet. */
  readonly prepare?: () => void;
}

export async function startSshd(folder: string, options: SshdOptions = {}): Promise<Sshd> {
  const { hostKeys = ['ed25519'], config = [] } = options;
  await mkdir(folder, { recursive: true });
  // What the unit of the distribution makes for root's sshd.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const publicKeys = new Map<KeyType, string>();
  for (const type of hostKeys) {
    publicKeys.set(type, await makeKey(join(folder, `host_${type}`), { type }));
  }
  options.prepare?.();
  const port = options.port ?? (await freePort());
  const allowed = join(folder, 'authorized_keys');
  await writeFile(allowed, '', { mode: 0o600 });
  await writeFile(
    join(folder, 'sshd_config'),
    [
      ...config,
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      ...hostKeys.map((type) => `HostKey ${join(folder, `host_${type}`)}`),
      `AuthorizedKeysFile ${allowed}`,
      'PidFile none',
      'UsePAM no',
      'StrictModes no',
      'PasswordAuthentication no',
      'PermitRootLogin yes',
      'LogLevel VERBOSE',
      '',
    ].join('\n'),
  );
  let log = '';
  const daemon = spawn(SSHD, ['-D', '-e', '-f', join(folder, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await until(
    () => log.includes('Server listening') || daemon.exitCode !== null,
    () => `sshd to listen: ${log}`,
  );
  if (daemon.exitCode !== null) throw new Error(`sshd ended: ${log}`);
  return {
    port,
    publicKeys,
    destination: `${USER}@127.0.0.1:${port}`,
    known: `[127.0.0.1]:${port}`,
    allow: (publicKey) => appendFile(allowed, `${publicKey}\n`),
    log: () => log,
    async cut() {
      const pids = await descendants(daemon.pid ?? 0);
      for (const pid of pids) kill(pid);
      return pids.length;
    },
    async freeze() {
      for (const pid of await descendants(daemon.pid ?? 0)) kill(pid, 'SIGSTOP');
    },
    async stop() {
      for (const pid of await descendants(daemon.pid ?? 0)) kill(pid);
      await end(daemon);
    },
  };
}

export async function makeKey(
  path: string,
  options: { type?: KeyType; passphrase?: string; format?: 'PEM' | 'PKCS8'; comment?: string } = {},
): Promise<string> {
  const { type = 'ed25519', passphrase = '', format, comment = 'a key of a test' } = options;
  execFileSync('ssh-keygen', [
    ...['-q', '-t', type, '-N', passphrase, '-C', comment, '-f', path],
    ...(format === undefined ? [] : ['-m', format]),
  ]);
  return (await readFile(`${path}.pub`, 'utf8')).trim();
}

/** A person's machine: a home with `.ssh`, and the CLI as it runs there. */
export interface Laptop {
  readonly home: string;
  /** A path in `~/.ssh`. */
  at(name: string): string;
  write(name: string, text: string): Promise<void>;
  read(name: string): Promise<string>;
  start(args: readonly string[], options?: LaptopOptions): Running;
  run(args: readonly string[], options?: LaptopOptions): Promise<Ran>;
}

export interface LaptopOptions {
  readonly cwd?: string;
  /** Socket of an ssh-agent. */
  readonly agent?: string;
  /** Folder for temporary files. */
  readonly temporary?: string;
  readonly deadlineMs?: number;
}

export async function laptop(folder: string): Promise<Laptop> {
  const home = join(folder, 'home');
  await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const at = (name: string) => join(home, '.ssh', name);
  const start: Laptop['start'] = (args, options = {}) =>
    startCli(args, {
      cwd: options.cwd ?? home,
      ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
      env: {
        HOME: home,
        ...(options.agent === undefined ? {} : { SSH_AUTH_SOCK: options.agent }),
        ...(options.temporary === undefined ? {} : { TMPDIR: options.temporary }),
      },
    });
  return {
    home,
    at,
    write: (name, text) => writeFile(at(name), text, { mode: 0o600 }),
    read: (name) => readFile(at(name), 'utf8'),
    start,
    run: (args, options) => start(args, options).ended(),
  };
}

/** A real ssh-agent with a socket of its own. */
export async function startSshAgent(
  folder: string,
): Promise<{ socket: string; add(key: string): void; stop(): Promise<void> }> {
  const socket = join(folder, 'ssh-agent.sock');
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  await until(
    () => reachable(socket),
    () => 'the ssh-agent',
  );
  return {
    socket,
    add: (key) =>
      void execFileSync('ssh-add', ['-q', key], {
        env: { ...process.env, SSH_AUTH_SOCK: socket },
      }),
    stop: () => end(child),
  };
}

function reachable(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(stat)?.[1];
    if (parent !== undefined) parents.set(Number(entry), Number(parent));
  }
  const below = (of: number): number[] =>
    [...parents].filter(([, parent]) => parent === of).flatMap(([own]) => [own, ...below(own)]);
  return below(pid);
}

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
