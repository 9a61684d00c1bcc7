import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ServerBook } from '../../agent/haproxy/access-log/book.ts';
import type { LogLine } from '../../agent/haproxy/access-log/format.ts';
import { Keeper, readKept, textOf } from '../../agent/haproxy/access-log/keep.ts';

const NOW = 1_800_000_000_000;
let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-keep-'));
  path = join(folder, 'books.json');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function line(status: number, waitMs: number): LogLine {
  return { backend: 'b', server: 's', status, waitMs, end: '--', at: 0, method: 'GET' };
}

test('what is kept is known again: waits, failures, and when', async () => {
  const book = new ServerBook();
  book.write(line(200, 1_500), NOW - 15 * 60_000, 1);
  book.write(line(200, 7), NOW - 15 * 60_000 + 20_000, 1);
  book.write(line(500, 3), NOW - 1_000, 4);
  const keeper = new Keeper(
    path,
    () => textOf(new Map([['b s', book]]), NOW),
    (error) => {
      throw error;
    },
  );
  await keeper.close();
  const [[key, ticks] = ['', []], ...more] = await readKept(path, NOW);
  expect(more).toEqual([]);
  expect(key).toBe('b s');
  // Old ones of one minute are one.
  expect(ticks.map(({ requests, failed, oneOf }) => ({ requests, failed, oneOf }))).toEqual([
    { requests: 2, failed: 0, oneOf: 1 },
    { requests: 1, failed: 1, oneOf: 4 },
  ]);
  expect([...(ticks[1]?.failures ?? [])]).toEqual([['500 GET', 1]]);
  const again = new ServerBook(ticks);
  again.write(line(200, 9), NOW - 500, 1);
  expect(again.ticks().at(-1)).toMatchObject({ requests: 2, failed: 1 });
});

test('what is too old is not kept, what is to come is not believed', async () => {
  const book = new ServerBook();
  book.write(line(200, 1), NOW - 30 * 60_000, 1);
  book.write(line(200, 1), NOW, 1);
  await writeFile(path, textOf(new Map([['b s', book]]), NOW));
  const [[, ticks] = ['', []]] = await readKept(path, NOW);
  expect(ticks.length).toBe(1);
  const [[, none] = ['', []]] = await readKept(path, NOW - 60_000);
  expect(none).toEqual([]);
});

test.each([
  '',
  '{',
  '{"schemaVersion":2,"books":[]}',
  '{"schemaVersion":1,"books":[["b s",[{"from":1}]]]}',
])('a file that says %j is as good as none', async (text) => {
  await writeFile(path, text);
  expect(await readKept(path, NOW)).toEqual([]);
  expect(await readKept(join(folder, 'none'), NOW)).toEqual([]);
});

test('a disk that takes nothing is told of, and the file before stays', async () => {
  await writeFile(path, 'before');
  const errors: unknown[] = [];
  const keeper = new Keeper(
    join(path, 'under a file'),
    () => 'text',
    (error) => errors.push(error),
  );
  await keeper.close();
  expect(errors.length).toBe(1);
  expect(await readFile(path, 'utf8')).toBe('before');
});
