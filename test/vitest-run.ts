import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/** The packages of the checkout. */
export const MODULES = join(import.meta.dirname, '..', 'node_modules');

/** How many tests ended how. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Whether vitest itself was content: it also fails for what is outside of any test. */
  readonly ok: boolean;
}

const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  success: z.boolean(),
});

/**
 * Runs vitest and counts.
 * @param prefix a command and its arguments that run vitest inside of something
 */
export function runVitest(args: readonly string[], prefix: readonly string[] = []): Counts {
  const folder = mkdtempSync(join(tmpdir(), 'zdd-test-report-'));
  try {
    const file = join(folder, 'report.json');
    const [program = process.execPath, ...rest] = [
      ...prefix,
      process.execPath,
      join(MODULES, 'vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
      ...args,
    ];
    const { status } = spawnSync(program, rest, { stdio: 'inherit' });
    const { numPassedTests, numFailedTests, numPendingTests, success } = report.parse(
      JSON.parse(readFileSync(file, 'utf8')),
    );
    return {
      passed: numPassedTests,
      failed: numFailedTests,
      skipped: numPendingTests,
      ok: status === 0 && success && numPassedTests > 0,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The last line of every test command. */
export function sumUp(counts: readonly Counts[]): string {
  const sum = (key: 'passed' | 'failed' | 'skipped') =>
    counts.reduce((total, one) => total + one[key], 0);
  return `${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`;
}
