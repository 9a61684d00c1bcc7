import { hasSqlDetails, parse } from 'libpg-query';
import { type Danger, dangersIn } from './rules.ts';

/** One warning about a file of SQL. */
export interface SqlWarning extends Danger {
  /** From 1. */
  readonly line: number;
}

/** What came of looking at one file. */
export type SqlReport =
  | { readonly read: true; readonly warnings: readonly SqlWarning[] }
  /** No SQL of PostgreSQL. */
  | { readonly read: false; readonly line: number; readonly error: string };

/** Where the way back begins: dbmate, goose, sql-migrate. It is run by hand, if ever. */
const WAY_BACK = /^\s*--\s*(?:migrate:down|\+goose\s+down|\+migrate\s+down)\b/im;

/** Says what is dangerous in a migration while the release before still runs. */
export async function lintSql(text: string): Promise<SqlReport> {
  const forward = text.slice(0, WAY_BACK.exec(text)?.index);
  if (forward.trim() === '') return { read: true, warnings: [] };
  // The parser counts in bytes.
  const bytes = Buffer.from(forward);
  try {
    const { stmts = [] } = await parse(forward);
    const warnings = dangersIn(stmts).flatMap(([statement, danger]) => {
      const from = statement.stmt_location ?? 0;
      const to = statement.stmt_len === undefined ? bytes.length : from + statement.stmt_len;
      const said = bytes.subarray(0, from).toString();
      const own = bytes.subarray(from, to).toString();
      // Comments that stand before it belong to it; those before the first are no part of any.
      const before = said.slice(said.lastIndexOf(';') + 1);
      if (isAllowed(`${before}${own}`, danger.rule)) return [];
      const skipped = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/.exec(own)?.[0] ?? '';
      return [{ ...danger, line: lineAt(`${said}${skipped}`) }];
    });
    return { read: true, warnings };
  } catch (error) {
    if (!hasSqlDetails(error)) throw error;
    const at = error.sqlDetails?.cursorPosition ?? 0;
    return { read: false, line: lineAt(forward.slice(0, at)), error: error.message };
  }
}

function isAllowed(text: string, rule: string): boolean {
  return [...text.matchAll(/--\s*zdd:\s*allow\s+([a-z, -]+)/g)].some(([, rules = '']) =>
    rules.split(/[\s,]+/).includes(rule),
  );
}

function lineAt(before: string): number {
  return before.split('\n').length;
}
