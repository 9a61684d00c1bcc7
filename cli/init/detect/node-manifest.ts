import { z } from 'zod';
import type { Project } from '../project.ts';
import type { Guess } from '../proposal.ts';

const texts = z.record(z.string(), z.string()).catch({});

const manifest = z.object({
  name: z.string().optional().catch(undefined),
  main: z.string().optional().catch(undefined),
  scripts: texts.default({}),
  dependencies: texts.default({}),
  devDependencies: texts.default({}),
  engines: texts.default({}),
  workspaces: z.unknown().optional(),
});

export type NodeManifest = z.output<typeof manifest>;

/** `package.json`, as far as it makes sense; null without one, or when it is no JSON object. */
export function readNodeManifest(project: Project): NodeManifest | null {
  const text = project.read('package.json');
  if (text === null) return null;
  try {
    const read = manifest.safeParse(JSON.parse(text));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}

export function packagesOf({ dependencies, devDependencies }: NodeManifest): ReadonlySet<string> {
  return new Set([...Object.keys(dependencies), ...Object.keys(devDependencies)]);
}

export interface PackageManager {
  readonly name: 'npm' | 'pnpm' | 'yarn' | 'bun';
  readonly lock: string | null;
  readonly install: string;
  /** Takes away what only a build needs. */
  readonly prune: string | null;
}

const MANAGERS: readonly (PackageManager & { readonly locks: readonly string[] })[] = [
  {
    name: 'bun',
    locks: ['bun.lock', 'bun.lockb'],
    lock: null,
    install: 'bun install --frozen-lockfile',
    prune: null,
  },
  {
    name: 'pnpm',
    locks: ['pnpm-lock.yaml'],
    lock: null,
    install: 'pnpm install --frozen-lockfile',
    prune: 'pnpm prune --prod',
  },
  {
    name: 'yarn',
    locks: ['yarn.lock'],
    lock: null,
    install: 'yarn install',
    prune: null,
  },
  {
    name: 'npm',
    locks: ['package-lock.json', 'npm-shrinkwrap.json'],
    lock: null,
    install: 'npm ci',
    prune: 'npm prune --omit=dev',
  },
];

/** By the lock file; npm without one. */
export function managerOf(project: Project): PackageManager {
  for (const { locks, ...manager } of MANAGERS) {
    const lock = locks.find((name) => project.files.includes(name));
    if (lock !== undefined) return { ...manager, lock };
  }
  return { name: 'npm', lock: null, install: 'npm install', prune: 'npm prune --omit=dev' };
}

/** Tools that watch files or build on the way: they are not how an app runs for its users. */
const FOR_DEVELOPMENT =
  /\b(nodemon|ts-node-dev|next dev|nuxt dev|vite dev|astro dev|webpack serve)\b|--watch\b/;

/** A script as a run line: what it starts itself, without a package manager that stays between. */
export function runLineOf(
  script: string,
  name: string,
  manager: PackageManager,
): { readonly run: Guess; readonly checks: readonly string[] } {
  const checks = FOR_DEVELOPMENT.test(script)
    ? [`the script ${name} is for development (${script}): choose what production runs`]
    : [];
  const why = `script ${name} of package.json`;
  const line = script.replace(/^cross-env\s+/, '').trim();
  const words = line.split(/\s+/);
  const first = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
  const program = words[first] ?? '';
  if (/[;&|<>()`\n]/.test(line) || ['npm', 'npx', 'pnpm', 'yarn', ''].includes(program)) {
    return { run: { value: `${manager.name} run ${name}`, why }, checks };
  }
  const direct = ['node', 'bun', 'deno', 'sh', 'bash'].includes(program) || program.includes('/');
  if (!direct) words[first] = `node_modules/.bin/${program}`;
  return { run: { value: words.join(' '), why }, checks };
}
