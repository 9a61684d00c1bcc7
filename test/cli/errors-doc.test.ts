import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ERRORS } from '../../agent/protocol/errors.ts';
import { COMMANDS } from '../../cli/registry.ts';

const page = (name: string) => readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

test('docs/errors.md has every code of the table, in its order, with its exit code and meaning', async () => {
  const rows = (await page('errors.md')).matchAll(
    /^\| `(ZDD_\w+)` \| (\d+) \| (.+?) \| (.+) \|$/gm,
  );
  const documented = [...rows].map(([, code, exit, means, what]) => {
    expect(what?.trim().length).toBeGreaterThan(10);
    return { code, exit: Number(exit), means };
  });
  expect(documented).toEqual(
    Object.entries(ERRORS).map(([code, { exit, means }]) => ({ code, exit, means })),
  );
});

test('docs/cli.md shows every verb, each of its examples and each of its options', async () => {
  const text = await page('cli.md');
  for (const { name, examples, options } of COMMANDS) {
    expect(text).toContain(`### ${name}\n`);
    for (const [line] of examples) expect(text).toContain(line);
    for (const { flags } of options) expect(text).toContain(`\`${flags}\``);
  }
});
