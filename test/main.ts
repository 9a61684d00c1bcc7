import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/** `npm test [FILES]`: type check, lint, then every test; the last line counts them. */

const modules = join(import.meta.dirname, '..', 'node_modules');

function step(title: string, command: string, args: readonly string[]): void {
  process.stderr.write(`\n> ${title}\n`);
  const { status } = spawnSync(command, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const summary = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  success: z.boolean(),
});

const files = process.argv.slice(2);
step('types', process.execPath, [join(modules, 'typescript/bin/tsc'), '--noEmit']);
step('lint', process.execPath, [join(modules, '@biomejs/biome/bin/biome'), 'check', '.']);

process.stderr.write('\n> tests\n');
const folder = mkdtempSync(join(tmpdir(), 'zdd-test-report-'));
const report = join(folder, 'report.json');
const { status } = spawnSync(
  process.execPath,
  [
    join(modules, 'vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...files,
  ],
  { stdio: 'inherit' },
);
const result = summary.safeParse(JSON.parse(readFileSync(report, 'utf8')));
rmSync(folder, { recursive: true });
if (!result.success) process.exit(1);
const { numPassedTests, numFailedTests, numPendingTests, success } = result.data;
process.stdout.write(
  `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped\n`,
);
process.exitCode = status === 0 && success && numPassedTests > 0 ? 0 : 1;
