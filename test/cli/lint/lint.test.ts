import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cli, temporaryFolder } from '../run-cli.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  await put('zdd.yaml', 'app: shop\nmigrations: db/migrate\nprocesses: { web: { run: x } }\n');
  await put('db/migrate/1_users.sql', 'CREATE TABLE users (id int, name text);\n');
  await put('db/migrate/2_names.up.sql', 'ALTER TABLE users DROP COLUMN name;\n');
  await put('db/migrate/2_names.down.sql', 'DROP TABLE users;\n');
  await put('db/migrate/3_mysql.sql', 'ALTER TABLE users MODIFY id bigint;\n');
});
afterAll(async () => await folder.remove());

async function put(path: string, text: string): Promise<void> {
  await mkdir(join(folder.path, dirname(path)), { recursive: true });
  await writeFile(join(folder.path, path), text);
}

test('every migration of the folder is read; what is dangerous names file, line and rule', async () => {
  const { code, stdout } = await cli(['lint'], { cwd: folder.path });
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "db/migrate/2_names.up.sql:1  drops the column users.name  [drop-column]
      because       the release that still runs may read or write it
      instead       do it in the contract, when no release uses it any more
    db/migrate/3_mysql.sql:1  cannot be read as PostgreSQL: syntax error at or near "MODIFY"
    3 migrations read, 1 warning
    "
  `);
});

test('with --strict a warning is a failure; a file without one is none', async () => {
  const lint = (...args: string[]) => cli(['lint', '--strict', ...args], { cwd: folder.path });
  expect((await lint()).code).toBe(10);
  expect((await lint('db/migrate/1_users.sql')).code).toBe(0);
  expect((await lint('db/nowhere')).code).toBe(2);
});

test('push --dry-run says the same, of all where it cannot tell which are new', async () => {
  const { code, stdout } = await cli(['push', '--dry-run'], {
    cwd: folder.path,
    socket: join(folder.path, 'nobody.sock'),
  });
  expect(code).toBe(0);
  expect(stdout).toContain(
    'db/migrate/2_names.up.sql:1  drops the column users.name  [drop-column]',
  );
  expect(stdout).toContain('3 migrations read, 1 warning');
});
