import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { EXIT } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import { nearestConfigFolder, readFolderConfig } from '../push/source/config.ts';
import { counted } from '../render/amounts.ts';
import { rows } from '../render/error.ts';
import { UsageError } from '../usage-error.ts';
import { type Linted, lintFiles, sqlFilesOf } from './files.ts';

/**
 * Warns of migrations that the release which still runs could not live with.
 * @param typed files or folders; default: `migrations` of the nearest `zdd.yaml`
 * @returns the exit code: 0, or with `strict` 10 where there is a warning
 */
export async function lint(
  context: Context,
  typed: readonly string[],
  strict: boolean,
): Promise<number> {
  const { cwd, screen } = context;
  const paths = typed.length > 0 ? typed.map((path) => resolve(cwd, path)) : [await folderOf(cwd)];
  const files = (await Promise.all(paths.map(sqlFilesOf))).flat();
  const linted = await lintFiles(
    files.map((file) => ({ file: relative(cwd, file), read: () => readFile(file, 'utf8') })),
  );
  screen.value({ schemaVersion: 1, ...linted });
  screen.data(lintLines(linted).join('\n'));
  return strict && linted.warnings.length > 0 ? EXIT.config : EXIT.ok;
}

/** What there is to say, for people. */
export function lintLines({ files, warnings, unread }: Linted): string[] {
  const lines = warnings.flatMap(({ file, line, rule, what, why, instead }) => [
    `${file}:${line}  ${what}  [${rule}]`,
    ...rows([
      ['because', why],
      ['instead', instead],
    ]),
  ]);
  for (const { file, line, error } of unread) {
    lines.push(`${file}:${line}  cannot be read as PostgreSQL: ${error}`);
  }
  const count = warnings.length === 0 ? 'nothing to warn of' : counted(warnings.length, 'warning');
  return [...lines, `${counted(files, 'migration')} read, ${count}`];
}

async function folderOf(cwd: string): Promise<string> {
  const project = await nearestConfigFolder(cwd);
  const folder =
    project === null ? undefined : (await readFolderConfig(project, cwd)).config.migrations;
  if (project === null || folder === undefined) {
    throw new UsageError('which migrations? No zdd.yaml names a folder of them', [
      'zdd-agent lint db/migrate',
    ]);
  }
  return join(project, folder);
}
