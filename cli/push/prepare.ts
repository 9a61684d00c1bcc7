import { dirname } from 'node:path';
import type { AppConfig } from '../../agent/protocol/app-config.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import { commandFor } from '../target.ts';
import {
  CONFIG_FILE,
  nearestConfigFolder,
  parsed,
  type ReadConfig,
  readFolderConfig,
} from './source/config.ts';
import type { Commit } from './source/git.ts';
import { describeOrigin } from './source/origin.ts';
import { findSource, type Source } from './source/source.ts';

export interface PushWish {
  /** As typed: a folder, an archive or `git:REV`. */
  readonly path: string;
  readonly dryRun: boolean;
  /** Sends everything, also what the agent has. */
  readonly whole: boolean;
  readonly detach: boolean;
  /** How long to wait for another deployment, ms. */
  readonly waitMs: number | undefined;
  readonly bakeMs: number | undefined;
  readonly probeTimeoutMs: number | undefined;
  /** As `strategy` of zdd.yaml. */
  readonly strategy: string | undefined;
}

/** Everything known about a push before anything is sent. */
export interface Prepared {
  readonly source: Source;
  /** Of a source that is one. */
  readonly commit: Commit | null;
  readonly origin: string;
  /** As it will be deployed, with what the flags say. Null for an archive: the agent reads it. */
  readonly config: AppConfig | null;
  /** What `config` was read from. */
  readonly configText: string | null;
  /** Null when only the agent can tell. */
  readonly app: string | null;
  command(verb: string): string;
}

/** Everything that can be known before the agent is asked. @throws ZDD_USAGE, ZDD_CONFIG_* */
export async function prepare(context: Context, wish: PushWish): Promise<Prepared> {
  const { cwd, globals } = context;
  const source = await findSource(wish.path, cwd);
  const commit = source.kind === 'git' ? await commitOf(source.revision, cwd) : null;
  const [read, origin] = await Promise.all([
    configOf(source, commit, cwd),
    originOf(source, commit),
  ]);
  const strategy = await strategyOf(wish);
  const config = read === null ? null : { ...read.config, ...strategy };
  const app = config?.app ?? globals.app ?? null;
  if (config && globals.app !== undefined && globals.app !== config.app) {
    throw new ZddError('ZDD_USAGE', `zdd.yaml says app ${config.app}, --app says ${globals.app}`, {
      tries: ['zdd-agent push'],
    });
  }
  const folder = source.kind === 'folder' ? source.path : source.kind === 'git' ? cwd : null;
  const implied = folder !== null && (await nearestConfigFolder(cwd)) === folder;
  return {
    source,
    commit,
    origin,
    config,
    configText: read?.text ?? null,
    app,
    command: commandFor(context, { app: app ?? 'NAME', implied: implied || app === null }),
  };
}

/** What is wrong with a flag is said before anything is sent. @throws ZDD_CONFIG_INVALID */
async function strategyOf({ strategy }: PushWish): Promise<Partial<Pick<AppConfig, 'strategy'>>> {
  if (strategy === undefined) return {};
  const { readStrategy } = await import('../../agent/protocol/strategy-flag.ts');
  return { strategy: readStrategy(strategy) };
}

async function commitOf(revision: string, cwd: string): Promise<Commit> {
  const { findCommit } = await import('./source/git.ts');
  return await findCommit(revision, cwd);
}

/** Null for an archive, which the agent reads. @throws ZDD_CONFIG_MISSING, ZDD_CONFIG_INVALID */
async function configOf(
  source: Source,
  commit: Commit | null,
  cwd: string,
): Promise<ReadConfig | null> {
  if (source.kind === 'folder') return await readFolderConfig(source.path, cwd);
  if (commit === null) return null;
  const { textIn } = await import('./source/git.ts');
  const text = await textIn(commit, CONFIG_FILE);
  if (text !== null) return await parsed(text);
  throw new ZddError('ZDD_CONFIG_MISSING', `there is no ${CONFIG_FILE} in ${source.typed}`, {
    evidence: [['folder', `./${commit.prefix}`]],
    tries: ['git log --oneline -- zdd.yaml'],
  });
}

async function originOf(source: Source, commit: Commit | null): Promise<string> {
  if (commit !== null) return `./${commit.prefix} (git ${commit.id.slice(0, 7)}, as committed)`;
  if (source.kind === 'git') return source.typed;
  const folder = source.kind === 'folder' ? source.path : dirname(source.path);
  return await describeOrigin(source.typed, folder);
}
