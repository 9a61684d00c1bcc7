import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildRelease, type ShopRelease } from '../../../examples/build-release.ts';

/** What the suite runs on: Debian 12 (HAProxy 2.6, systemd 252), Debian 13 (3.0, 257). */
export const DISTRIBUTIONS = ['bookworm', 'trixie'] as const;
export type Distribution = (typeof DISTRIBUTIONS)[number];

/** Where the lab keeps everything. */
export const LAB = process.env['ZDD_LAB'] ?? '/var/tmp/zdd-lab';
const SCRIPT = join(import.meta.dirname, 'lab.sh');
const DIST = join(import.meta.dirname, '..', '..', '..', 'dist');
const COMMAND_MS = 120_000;
/** A deadline is there to end what hangs: a machine with other work takes that much longer. */
const PATIENCE = 3;
const POLL_MS = 50;

/** How a command ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Text, or a local file, for its standard input. */
  readonly input?: string | { readonly file: string };
  /** Deadline, ms. Default two minutes. */
  readonly timeoutMs?: number;
}

/**
 * A real VPS: a container with systemd, sshd and apt that nothing can leave. The tests run in the
 * lab's network (`lab.sh net`), so that `http://<address>/` is the host's port 80.
 */
export class VpsHost implements AsyncDisposable {
  readonly name: string;
  readonly distribution: Distribution;
  readonly address: string;

  private constructor(name: string, distribution: Distribution, address: string) {
    this.name = name;
    this.distribution = distribution;
    this.address = address;
  }

  /** Boots a fresh host, or one on top of a layer that `keepAs` made. About a second. */
  static async up(distribution: Distribution, subject: string, layer?: string): Promise<VpsHost> {
    const name = `${subject}-${distribution}`;
    const address = await lab('up', name, distribution, ...(layer === undefined ? [] : [layer]));
    return new VpsHost(name, distribution, address.trim());
  }

  /** Boots a host with the release package installed and `deploy` in group `zdd`. */
  static async installed(distribution: Distribution, subject: string): Promise<VpsHost> {
    return await VpsHost.up(distribution, subject, layerOf(distribution));
  }

  get url(): string {
    return `http://${this.address}`;
  }

  /** The host's root folder seen from outside. Its own tmpfs mounts (/tmp, /run) are not in there. */
  get root(): string {
    return join(LAB, 'hosts', this.name, 'root');
  }

  /** Runs a shell line as root, over SSH. */
  async run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    return await this.as('root', command, options);
  }

  /** Runs a shell line as a user who may log in (`root`, `deploy`), over SSH. */
  async as(user: string, command: string, options: CommandOptions = {}): Promise<CommandResult> {
    const ssh = () => execute('ssh', [...this.#ssh(), `${user}@${this.address}`, command], options);
    const result = await ssh();
    // An sshd that is slow to greet, right after a boot: nothing has been run yet.
    const unheard = result.code === 255 && result.stderr.includes('during banner exchange');
    return unheard ? await ssh() : result;
  }

  /** Runs a shell line as root and returns what it printed. @throws Error when it fails */
  async must(command: string, options: CommandOptions = {}): Promise<string> {
    return demand(`${this.name}: ${command}`, await this.run(command, options));
  }

  /** Copies a local file as this user does, by scp. */
  async copyAs(user: string, local: string, remote: string): Promise<void> {
    const to = `${user}@${this.address}:${remote}`;
    demand(`scp to ${to}`, await execute('scp', [...this.#ssh(), local, to], {}));
  }

  /** Copies a local file. */
  async put(local: string, remote: string): Promise<void> {
    await this.must(`cat > '${remote}'`, { input: { file: local } });
  }

  async write(remote: string, text: string, mode = '0644'): Promise<void> {
    await this.must(`cat > '${remote}' && chmod ${mode} '${remote}'`, { input: text });
  }

  /** Copies the release package of `dist/` over, unpacked. Returns its folder. */
  async unpackPackage(): Promise<string> {
    const file = await builtPackage('.tar.gz');
    await this.must('mkdir -p /root/package && tar -xz -C /root/package --strip-components=1', {
      input: { file },
    });
    return '/root/package';
  }

  /** Installs the release package as its users do. */
  async install(...options: string[]): Promise<CommandResult> {
    const folder = await this.unpackPackage();
    return await this.run(`cd ${folder} && ./install.sh ${options.join(' ')}`);
  }

  /** Builds a release of the example app, copies it over and returns its path on the host. */
  async putRelease(release: ShopRelease): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'zdd-vps-release-'));
    try {
      const { path } = await buildRelease(folder, release);
      const remote = `/home/deploy/${basename(path).replaceAll(' ', '-')}`;
      await this.put(path, remote);
      return remote;
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /** Clean shutdown and start. Returns when sshd answers. */
  async reboot(): Promise<void> {
    await lab('reboot', this.name);
  }

  /** Every process dies at once, nothing is written any more; then the host starts again. */
  async powerCut(): Promise<void> {
    await lab('crash', this.name);
  }

  /** Stops the host and keeps what it wrote as a layer that others can start from. */
  async keepAs(layer: string): Promise<void> {
    await lab('keep', this.name, layer);
  }

  /** Stops the host and deletes everything of it. */
  async down(): Promise<void> {
    await lab('down', this.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  /** Asks until it is so. @throws Error naming what was waited for, with the last thing seen */
  async until(what: string, withinMs: number, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE * withinMs;
    for (;;) {
      const found = await isSo().catch((error: unknown) => error);
      if (found === true) return;
      if (performance.now() > deadline) {
        throw new Error(`${this.name}: waited ${PATIENCE * withinMs} ms for ${what}`, {
          cause: found,
        });
      }
      await sleep(POLL_MS);
    }
  }

  /** Waits until a shell line succeeds. */
  async untilSucceeds(command: string, withinMs: number): Promise<void> {
    await this.until(command, withinMs, async () => (await this.run(command)).code === 0);
  }

  #ssh(): string[] {
    return [
      ...['-i', join(LAB, 'keys', 'id_ed25519')],
      ...['IdentitiesOnly=yes', 'BatchMode=yes', 'ConnectTimeout=5', 'LogLevel=ERROR'],
      `UserKnownHostsFile=${join(LAB, 'hosts', this.name, 'known_hosts')}`,
      ...['StrictHostKeyChecking=yes', `HostKeyAlias=${this.name}`],
    ].flatMap((word, index) => (index < 2 ? [word] : ['-o', word]));
  }
}

/** The layer of hosts with the package installed; made once before the tests. */
export function layerOf(distribution: Distribution): string {
  return `installed-${distribution}`;
}

/** The newest file of `dist/` with this ending. @throws Error when there is none */
export async function builtPackage(ending: '.tar.gz' | '.deb'): Promise<string> {
  const name = (await readdir(DIST).catch(() => [])).find((file) => file.endsWith(ending));
  if (name === undefined) throw new Error(`there is no ${ending} in dist/: npm run package`);
  return join(DIST, name);
}

/** Runs the lab's script and returns what it printed. */
export async function lab(...args: string[]): Promise<string> {
  return demand(`lab.sh ${args.join(' ')}`, await execute('bash', [SCRIPT, ...args], {}));
}

function demand(what: string, { code, stdout, stderr }: CommandResult): string {
  if (code !== 0) throw new Error(`${what}\nended with ${code}\n${stdout}${stderr}`);
  return stdout;
}

async function execute(
  program: string,
  args: readonly string[],
  { input, timeoutMs = COMMAND_MS }: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: { ...process.env, ZDD_LAB_NODE: process.execPath },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A command may end without reading all of its input.
  child.stdin.on('error', () => undefined);
  if (typeof input === 'object') createReadStream(input.file).pipe(child.stdin);
  else child.stdin.end(input ?? '');
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 255));
  return { code: await promise, stdout, stderr };
}
