import { stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ZddError } from '../../agent/protocol/errors.ts';
import { parseAppConfig } from '../../agent/protocol/zdd-yaml.ts';
import type { Context } from '../context.ts';
import { CONFIG_FILE } from '../push/source/config.ts';
import { IGNORE_FILE } from '../push/source/ignored.ts';
import { reasonOf } from '../push/source/source.ts';
import { proposalLines } from '../render/proposal.ts';
import { UsageError } from '../usage-error.ts';
import { guessAppName, isAppName } from './app-name.ts';
import { canAsk, openQuestions } from './ask.ts';
import { type InitFile, writeProjectFile } from './files.ts';
import { openProject, type Project } from './project.ts';
import type { Guess } from './proposal.ts';
import { propose } from './propose.ts';
import { type Named, zddYaml } from './zdd-yaml.ts';
import { zddIgnore } from './zddignore.ts';

export interface InitWish {
  /** As typed: the folder of the project. */
  readonly path: string;
  readonly run: string | undefined;
  readonly dryRun: boolean;
  readonly force: boolean;
  /** Ask nothing, take what is proposed. */
  readonly yes: boolean;
}

/** Unless `-e` says another. */
const USUAL_ENVIRONMENT = 'production';

/**
 * Looks at a project and writes its `zdd.yaml` and `.zddignore`. @returns the exit code
 * @throws ZDD_USAGE when `zdd.yaml` is there already, or when nothing tells how the project starts
 */
export async function init(context: Context, wish: InitWish): Promise<number> {
  const folder = resolve(context.cwd, wish.path);
  const project = await look(folder, wish.path);
  const shown = relative(context.cwd, folder) || '.';
  if (!wish.dryRun && !wish.force) await refuseOver(folder, shown);
  const proposal = propose(project, wish.run);
  const guess = guessAppName(project, proposal.kind);
  const named = await name(context, guess, wish);
  const yaml = zddYaml(proposal, named);
  // Whatever was guessed, it must be a file that the agent takes.
  parseAppConfig(yaml, CONFIG_FILE);
  const files = [
    await put(folder, CONFIG_FILE, yaml, wish),
    // Somebody has thought about an ignore file that is there; a forced zdd.yaml says nothing of it.
    await put(folder, IGNORE_FILE, zddIgnore(proposal), { ...wish, force: false }),
  ];
  if (files[0]?.state === 'kept') throw alreadyThere(shown);
  const next = [
    ...(shown === '.' ? [] : [`cd ${quotedWord(shown)}`]),
    ...proposal.prepare,
    'zdd-agent config check',
    'zdd-agent push --dry-run',
  ];
  context.screen.value({
    schemaVersion: 1,
    app: named.app.value,
    kind: proposal.kind,
    found: { what: proposal.what, from: proposal.from },
    processes: proposal.processes,
    release: proposal.release,
    env: proposal.env,
    shared: proposal.shared,
    environment: named.hosts.length === 0 ? null : named.environment,
    hosts: named.hosts,
    host: proposal.host,
    checks: proposal.checks,
    files: files.map(({ path, text, state }) => ({ path: join(shown, path), state, text })),
    next,
  });
  context.screen.data(proposalLines(context.screen, { proposal, named, files, next }).join('\n'));
  return 0;
}

/** A word for a shell: quoted where it has more than what names usually have. */
function quotedWord(word: string): string {
  return /^[\w./@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

async function look(folder: string, typed: string): Promise<Project> {
  try {
    return await openProject(folder);
  } catch (cause) {
    throw new ZddError('ZDD_USAGE', `${typed} is no folder that can be read`, {
      evidence: [['path', `${folder}: ${reasonOf(cause)}`]],
      tries: ['zdd-agent init --help'],
      cause,
    });
  }
}

/** Said before any question is asked. */
async function refuseOver(folder: string, shown: string): Promise<void> {
  const found = await stat(join(folder, CONFIG_FILE)).catch(() => null);
  if (found) throw alreadyThere(shown);
}

function alreadyThere(shown: string): ZddError {
  const at = shown === '.' ? '' : ` ${shown}`;
  return new ZddError('ZDD_USAGE', `${join(shown, CONFIG_FILE)} is there already`, {
    tries: [`zdd-agent init${at} --dry-run`, `zdd-agent init${at} --force`],
  });
}

/** The name of the app and where to push: as told, else as answered, else as guessed. */
async function name(context: Context, guess: Guess, wish: InitWish): Promise<Named> {
  const { app: told, hosts, environment = USUAL_ENVIRONMENT } = context.globals;
  if (told !== undefined && !isAppName(told)) {
    throw new UsageError(
      `--app: expected lower-case letters, digits and "-", at most 31, got "${told}"`,
      [`zdd-agent init --app ${guess.value}`],
    );
  }
  if (!isAppName(environment)) {
    throw new UsageError(
      `-e: expected lower-case letters, digits and "-", at most 31, got "${environment}"`,
      ['zdd-agent init -e production'],
    );
  }
  const app = told === undefined ? guess : { value: told, why: '--app' };
  if (wish.yes || !canAsk(context)) return { app, hosts, environment };
  if (told !== undefined && hosts.length > 0) return { app, hosts, environment };
  const questions = await openQuestions(context);
  try {
    const answered = told ?? (await questions.app(app.value));
    return {
      app: answered === app.value ? app : { value: answered, why: '' },
      hosts: hosts.length === 0 ? await questions.hosts() : hosts,
      environment,
    };
  } finally {
    questions.close();
  }
}

async function put(
  folder: string,
  path: string,
  text: string,
  { dryRun, force }: Pick<InitWish, 'dryRun' | 'force'>,
): Promise<InitFile> {
  if (dryRun) return { path, text, state: 'proposed' };
  try {
    const written = await writeProjectFile(join(folder, path), text, force);
    return { path, text, state: !written ? 'kept' : force ? 'replaced' : 'written' };
  } catch (cause) {
    throw new ZddError('ZDD_USAGE', `${path} cannot be written`, {
      evidence: [['path', `${join(folder, path)}: ${reasonOf(cause)}`]],
      tries: ['zdd-agent init --dry-run'],
      cause,
    });
  }
}
