import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { CLI, environment, type Ran, type Running, watchChild } from '../../cli/run-cli.ts';
import { LAB, type VpsHost } from './host.ts';

/** A push waits for hosts that do much else meanwhile, ms. */
const DEADLINE_MS = 90_000;

/** The machine of somebody who deploys: the CLI there reaches the host over SSH, as user `deploy`. */
export class Laptop implements AsyncDisposable {
  readonly #host: VpsHost;
  /** A home with the key for the host and nothing else. */
  readonly home: string;

  private constructor(host: VpsHost, home: string) {
    this.#host = host;
    this.home = home;
  }

  static async of(host: VpsHost): Promise<Laptop> {
    const home = await mkdtemp(join(tmpdir(), 'zdd-vps-home-'));
    await mkdir(join(home, '.ssh'), { mode: 0o700 });
    await writeFile(
      join(home, '.ssh', 'config'),
      `IdentityFile ${join(LAB, 'keys', 'id_ed25519')}\nIdentitiesOnly yes\n`,
    );
    return new Laptop(host, home);
  }

  /** What leads a command to the host. */
  get way(): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
    return {
      args: ['--host', `deploy@${this.#host.address}`, '--accept-new'],
      env: { HOME: this.home, ZDD_SOCKET_PATH: '' },
    };
  }

  /** Starts a command; `input` is all of its standard input. */
  start(words: readonly string[], input = ''): Running {
    const { args, env } = this.way;
    const option = words.findIndex((word) => word.startsWith('-'));
    const child = spawn(CLI, words.toSpliced(option < 0 ? words.length : option, 0, ...args), {
      env: environment({ env }),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.end(input);
    return watchChild(child, words.join(' '), DEADLINE_MS);
  }

  async run(...args: readonly string[]): Promise<Ran> {
    return await this.start(args).ended();
  }

  /** Runs it and expects success. Returns all that it said. */
  async must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    expect(code, `${args.join(' ')}\n${stdout}${stderr}`).toBe(0);
    return stdout + stderr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }
}
