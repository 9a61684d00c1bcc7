import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import manifest from '../../package.json' with { type: 'json' };

const run = promisify(execFile);

export const VERSION = manifest.version;
export const ROOT = join(import.meta.dirname, '..', '..');
export const NAME = `zdd-agent-${VERSION}-linux-x64`;
export const TARBALL = join(ROOT, 'dist', `${NAME}.tar.gz`);
export const DEB = join(ROOT, 'dist', `zdd-agent_${VERSION}_amd64.deb`);

/** Builds what `npm run package` builds, in `root`; at once when it is there already. */
export async function buildPackage(
  root: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await run(process.execPath, [join(root, 'build/main.ts')], {
    env: { ...process.env, ...env },
  });
  return stdout;
}

/** The tarball, unpacked. */
export interface Unpacked {
  /** Its top folder. */
  readonly folder: string;
  remove(): Promise<void>;
}

export async function unpackTarball(): Promise<Unpacked> {
  const parent = await mkdtemp(join(tmpdir(), 'zdd-package-'));
  await run('tar', ['-xzf', TARBALL, '-C', parent]);
  return {
    folder: join(parent, NAME),
    remove: () => rm(parent, { recursive: true }),
  };
}

/** All files and links below a folder, relative to it, sorted. */
export async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Runs a program to its end; nothing of this process's environment goes in. */
export async function output(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const env = { PATH: '/usr/sbin:/usr/bin:/bin', LC_ALL: 'C', ...options.env };
  const child = spawn(program, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code: child.exitCode, stdout, stderr };
}
