import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const bench = (...args: string[]) =>
  promisify(execFile)(process.execPath, [MAIN, 'scale', ...args], { timeout: 60_000 });

const result = z.object({
  rows: z.array(
    z.object({
      apps: z.int(),
      servers: z.int(),
      switchMs: z.number().positive(),
      requests: z.int().positive(),
      lost: z.int(),
    }),
  ),
});

test('each size is a host with that many apps, and its switches lose nothing', async () => {
  const { stdout } = await bench('--apps', '1,12', '--switches', '3', '--json');
  const { rows } = result.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
  expect(rows.map(({ apps, servers, lost }) => ({ apps, servers, lost }))).toEqual([
    { apps: 1, servers: 5, lost: 0 },
    { apps: 12, servers: 60, lost: 0 },
  ]);
});

test('numbers that are none are refused', async () => {
  await expect(bench('--apps', '1,x')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--apps: expected whole numbers from 1 to 1000'),
  });
  await expect(bench('--switches', '0')).rejects.toMatchObject({
    stderr: expect.stringContaining('--switches: expected'),
  });
});
