import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
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
  /** What failed, and how: a line for where, then the first of its message. */
  readonly failures: readonly string[];
}

const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

/** Of a failure's message, this many lines stand at the end again. */
const MESSAGE_LINES = 12;

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
    const { numPassedTests, numFailedTests, numPendingTests, success, testResults } = report.parse(
      JSON.parse(readFileSync(file, 'utf8')),
    );
    return {
      failures: testResults.flatMap(failuresOf),
      passed: numPassedTests,
      failed: numFailedTests,
      skipped: numPendingTests,
      ok: status === 0 && success && numPassedTests > 0,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A file may fail without any test of it: its import, or what it does before them. */
function failuresOf({
  name,
  status,
  message,
  assertionResults,
}: z.infer<typeof report>['testResults'][number]): string[] {
  const file = relative(process.cwd(), name);
  const failed = assertionResults.filter((test) => test.status === 'failed');
  if (failed.length === 0) return status === 'failed' ? [told(file, message)] : [];
  return failed.map((test) => told(`${file} > ${test.fullName}`, test.failureMessages?.[0] ?? ''));
}

function told(where: string, message: string): string {
  const lines = message.split('\n').slice(0, MESSAGE_LINES);
  return [`FAILED ${where}`, ...lines.map((line) => `  ${line}`)].join('\n');
}

/** What failed, once more where one looks first, and the last line of every test command. */
export function sumUp(counts: readonly Counts[]): string {
  const sum = (key: 'passed' | 'failed' | 'skipped') =>
    counts.reduce((total, one) => total + one[key], 0);
  const failures = counts.flatMap((one) => one.failures).map((failure) => `${failure}\n\n`);
  return `${failures.join('')}${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`;
}
