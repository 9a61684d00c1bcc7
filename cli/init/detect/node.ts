import type { Project } from '../project.ts';
import { type Guess, NOTHING, type ProcessGuess, type Proposal } from '../proposal.ts';
import { frameworkOf, nameOfLibrary, siteBuilderOf } from './node-frameworks.ts';
import {
  managerOf,
  type NodeManifest,
  type PackageManager,
  packagesOf,
  readNodeManifest,
  runLineOf,
} from './node-manifest.ts';
import { guessHealth, guessListen, guessShared, healthFile, sourcesOf } from './source-code.ts';

/** Entries by custom, where `package.json` says nothing. */
const ENTRIES = ['server.js', 'index.js', 'app.js', 'server.mjs', 'index.mjs', 'src/index.js'];

/** Node.js, by `package.json`. */
export function detectNode(project: Project): Proposal | null {
  const manifest = readNodeManifest(project);
  if (manifest === null) return null;
  const packages = packagesOf(manifest);
  const framework = frameworkOf(packages, project);
  const library = nameOfLibrary(packages);
  // A build tool and no server: the result is files, which the static detection speaks about.
  if (framework === null && library === null && siteBuilderOf(packages) !== null) {
    if (!/\bnode\b/.test(manifest.scripts['start'] ?? '')) return null;
  }
  const manager = managerOf(project);
  const sources = sourcesOf(project, ['js', 'mjs', 'cjs', 'ts', 'mts', 'jsx', 'tsx']);
  const web = framework
    ? { run: framework.run, listen: framework.listen, checks: framework.checks }
    : plainServer(project, manifest, manager, sources);
  const worker = workerOf(manifest, manager);
  return {
    ...NOTHING,
    kind: 'node',
    what: ['Node.js', framework?.title ?? library].filter((part) => part).join(' with '),
    from: ['package.json', ...(manager.lock === null ? [] : [manager.lock])],
    sure: framework !== null || library !== null,
    processes: [
      ...(web === null
        ? []
        : [
            {
              name: 'web',
              run: web.run,
              listen: web.listen,
              health: healthFile(project) ?? guessHealth(project, sources),
              overlap: true,
            },
          ]),
      ...worker,
    ],
    release: releaseOf(project, manifest, manager),
    env: [{ name: 'NODE_ENV', value: 'production', why: 'most packages look at it' }],
    shared: [...(framework?.shared ?? []), ...guessShared(project)],
    host: [runtimeOf(project, manifest, web?.run.value ?? '')],
    prepare: prepareOf(manifest, manager, framework?.output ?? null, web?.run.value ?? ''),
    ignore: ['node_modules/.cache/', 'coverage/'],
    checks: [...(web?.checks ?? []), ...oddities(project, manifest)],
  };
}

interface Server {
  readonly run: Guess;
  readonly listen: ProcessGuess['listen'];
  readonly checks: readonly string[];
}

function plainServer(
  project: Project,
  manifest: NodeManifest,
  manager: PackageManager,
  sources: readonly string[],
): Server | null {
  const started = startOf(project, manifest, manager);
  if (started === null) return null;
  const { value, why, checks } = guessListen(project, sources);
  return { run: started.run, listen: { value, why }, checks: [...started.checks, ...checks] };
}

function startOf(project: Project, manifest: NodeManifest, manager: PackageManager) {
  for (const name of ['start:prod', 'start:production', 'start']) {
    const script = manifest.scripts[name];
    if (script !== undefined) return runLineOf(script, name, manager);
  }
  const program = manager.name === 'bun' ? 'bun' : 'node';
  if (manifest.main !== undefined && project.files.includes(manifest.main.replace(/^\.\//, ''))) {
    return {
      run: { value: `${program} ${manifest.main}`, why: 'main of package.json' },
      checks: [],
    };
  }
  const entry = ENTRIES.find((path) => project.files.includes(path));
  return entry === undefined
    ? null
    : { run: { value: `${program} ${entry}`, why: 'the usual name of an entry' }, checks: [] };
}

function workerOf(manifest: NodeManifest, manager: PackageManager): ProcessGuess[] {
  const name = ['worker', 'start:worker', 'start-worker'].find((each) => manifest.scripts[each]);
  if (name === undefined) return [];
  const { run } = runLineOf(manifest.scripts[name] ?? '', name, manager);
  return [
    {
      name: 'worker',
      run,
      listen: { value: 'none', why: '' },
      health: null,
      // Two generations at work may do a job twice: the careful way is the guess.
      overlap: false,
    },
  ];
}

function releaseOf(
  project: Project,
  { scripts }: NodeManifest,
  manager: PackageManager,
): Guess | null {
  if (project.files.includes('prisma/schema.prisma')) {
    return { value: 'node_modules/.bin/prisma migrate deploy', why: 'prisma/schema.prisma' };
  }
  const script = [
    'migrate:deploy',
    'db:migrate',
    'migrate',
    'migrate:latest',
    'migration:run',
  ].find((name) => scripts[name] !== undefined);
  if (script !== undefined) {
    const { run } = runLineOf(scripts[script] ?? '', script, manager);
    return run;
  }
  const knex = project.files.find((path) => /^knexfile\.\w+$/.test(path));
  return knex === undefined ? null : { value: 'node_modules/.bin/knex migrate:latest', why: knex };
}

/** What makes the folder complete: releases are never installed or built on the host. */
function prepareOf(
  { scripts, dependencies, devDependencies }: NodeManifest,
  manager: PackageManager,
  output: string | null,
  run: string,
): string[] {
  const needed = Object.keys(dependencies).length > 0;
  const builds =
    scripts['build'] !== undefined && (output !== null || /\b(dist|build|out|lib)\b/.test(run));
  if (!needed && !builds) return [];
  const commands = [manager.install];
  if (builds) commands.push(`${manager.name} run build`);
  if (Object.keys(devDependencies).length > 0 && manager.prune) commands.push(manager.prune);
  return commands;
}

function runtimeOf(project: Project, { engines }: NodeManifest, run: string): string {
  if (/^bun\b/.test(run)) return 'bun, on the PATH of every user';
  const file = ['.nvmrc', '.node-version'].find((path) => project.files.includes(path));
  const pinned = file === undefined ? undefined : project.read(file)?.trim();
  const version = engines['node'] ?? pinned;
  return version === undefined || version === '' ? 'node' : `node ${version}`;
}

function oddities(project: Project, manifest: NodeManifest): string[] {
  const checks: string[] = [];
  if (project.files.includes('.pnp.cjs')) {
    checks.push('yarn PnP: set nodeLinker: node-modules, or start with: node -r ./.pnp.cjs');
  }
  if (manifest.workspaces !== undefined || project.files.includes('pnpm-workspace.yaml')) {
    checks.push('a workspace: links out of the pushed folder are refused; push one built package');
  }
  return checks;
}
