import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { filesOf, type Tree } from '../push/source/tree.ts';
import { UsageError } from '../usage-error.ts';
import { lintSql, type SqlWarning } from './sql.ts';

/** A warning, and the file it is about. */
export interface FileWarning extends SqlWarning {
  readonly file: string;
}

/** A file that is no SQL of PostgreSQL. */
export interface UnreadFile {
  readonly file: string;
  readonly line: number;
  readonly error: string;
}

export interface Linted {
  readonly files: number;
  readonly warnings: readonly FileWarning[];
  readonly unread: readonly UnreadFile[];
}

/** The SQL files that are meant by a path: itself, or all below it, the ways back left out. */
export async function sqlFilesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new UsageError(`there is no ${path}`, ['zdd-agent lint db/migrate']);
  if (found.isFile()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && isMigration(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Not `0007_users.down.sql`, nor `undo_7.sql`: those are run by hand, if ever. */
function isMigration(name: string): boolean {
  return /\.sql$/i.test(name) && !/(^|[._-])(down|undo|rollback)([._-]|$)/i.test(name);
}

/** A migration and how to read it. */
export interface Migration {
  /** How it is called in what is told. */
  readonly file: string;
  read(): Promise<string>;
}

export async function lintFiles(migrations: readonly Migration[]): Promise<Linted> {
  const warnings: FileWarning[] = [];
  const unread: UnreadFile[] = [];
  for (const { file, read } of migrations) {
    const report = await lintSql(await read());
    if (report.read) warnings.push(...report.warnings.map((warning) => ({ ...warning, file })));
    else unread.push({ file, line: report.line, error: report.error });
  }
  return { files: migrations.length, warnings, unread };
}

/**
 * Looks at migrations of a release that is about to be.
 * @param folder where they lie in it
 * @param isNew whether the live release lacks a file, or has another one
 */
export async function lintTree(
  tree: Tree,
  folder: string,
  isNew: (path: string) => boolean,
): Promise<Linted> {
  const prefix = `${folder.replace(/\/$/, '')}/`;
  const files = filesOf(tree).filter(
    ({ path }) => path.startsWith(prefix) && isMigration(basename(path)) && isNew(path),
  );
  return await lintFiles(
    files.map((file) => ({
      file: file.path,
      async read() {
        const chunks: Buffer[] = [];
        for await (const chunk of tree.open(file)) chunks.push(chunk);
        return Buffer.concat(chunks).toString();
      },
    })),
  );
}
