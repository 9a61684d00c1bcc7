import { describe, expect, test } from 'vitest';
import { lintSql } from '../../../cli/lint/sql.ts';

async function rules(text: string): Promise<string[]> {
  const report = await lintSql(text);
  if (!report.read) throw new Error(report.error);
  return report.warnings.map(({ line, rule }) => `${line} ${rule}`);
}

describe('what the release that still runs could not live with', () => {
  test.each([
    ['ALTER TABLE users DROP COLUMN name', 'drop-column'],
    ['ALTER TABLE ONLY public.users DROP COLUMN IF EXISTS name CASCADE', 'drop-column'],
    ['DROP TABLE IF EXISTS users, orders', 'drop-table drop-table'],
    ['ALTER TABLE users RENAME COLUMN name TO full_name', 'rename'],
    ['ALTER TABLE users RENAME TO people', 'rename'],
    ['ALTER TABLE users ADD COLUMN age int NOT NULL', 'not-null'],
    ['ALTER TABLE users ALTER age SET NOT NULL', 'not-null'],
    ['ALTER TABLE users ALTER COLUMN id TYPE bigint', 'rewrite'],
    ['ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()', 'rewrite'],
    [
      'ALTER TABLE users ADD COLUMN seen timestamptz DEFAULT clock_timestamp()::timestamptz',
      'rewrite',
    ],
    ['ALTER TABLE users ADD COLUMN n int GENERATED ALWAYS AS IDENTITY', 'rewrite'],
    ['VACUUM FULL users', 'rewrite'],
    ['CREATE UNIQUE INDEX i ON users (name)', 'locking-index'],
    [
      'ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (u) REFERENCES users (id)',
      'locking-constraint',
    ],
    ['ALTER TABLE users ADD CHECK (age > 0)', 'locking-constraint'],
    ['ALTER TABLE users ADD UNIQUE (name)', 'locking-constraint'],
    ['UPDATE users SET name = lower(name)', 'all-rows'],
    ['DELETE FROM users', 'all-rows'],
    ['TRUNCATE users', 'all-rows'],
  ])('%s: %s', async (sql, found) => {
    expect(await rules(`${sql};`)).toEqual(found.split(' ').map((rule) => `1 ${rule}`));
  });
});

describe('nothing to warn of', () => {
  test.each([
    'ALTER TABLE users ADD COLUMN age int',
    'ALTER TABLE users ADD COLUMN age int NOT NULL DEFAULT 0',
    'ALTER TABLE users ADD COLUMN at timestamptz NOT NULL DEFAULT now()',
    'CREATE INDEX CONCURRENTLY i ON users (name)',
    'ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (u) REFERENCES users (id) NOT VALID',
    'ALTER TABLE orders VALIDATE CONSTRAINT f',
    'ALTER TABLE users ADD CONSTRAINT u UNIQUE USING INDEX i',
    "UPDATE users SET name = 'x' WHERE id = 1",
    'ALTER INDEX i RENAME TO j',
    'DROP INDEX CONCURRENTLY i',
    'CREATE TABLE a (id int); ALTER TABLE a ADD COLUMN b int NOT NULL; CREATE INDEX ON a (b); DROP INDEX x',
    'CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; END $$',
    '-- only words',
    '',
  ])('%s', async (sql) => {
    expect(await rules(sql)).toEqual([]);
  });
});

test('the line is that of the statement, comments and letters of several bytes before it or not', async () => {
  const text = `-- Änderungen über alles\n\nSELECT 'größer';\n\n-- a word about it\nALTER TABLE a\n  DROP COLUMN b;\nDROP TABLE c;\n`;
  expect(await rules(text)).toEqual(['6 drop-column', '8 drop-table']);
});

test('a remark before a statement allows a rule for it alone', async () => {
  const text = `-- zdd: allow drop-column, rewrite\nALTER TABLE a DROP COLUMN b;\nALTER TABLE a DROP COLUMN c;`;
  expect(await rules(text)).toEqual(['3 drop-column']);
});

test.each(['-- migrate:down', '-- +goose Down', '-- +migrate Down'])(
  'what is for the way back is left out: %s',
  async (mark) => {
    expect(await rules(`CREATE TABLE a (id int);\n${mark}\nDROP TABLE a;`)).toEqual([]);
  },
);

test('what is no SQL of PostgreSQL says where', async () => {
  expect(await lintSql('SELECT 1;\nALTER TABLE a MODIFY b int;')).toEqual({
    read: false,
    line: 2,
    error: 'syntax error at or near "MODIFY"',
  });
});
