import type { Command } from '../command.ts';

export const lint: Command = {
  name: 'lint',
  summary: 'warn of SQL that the release which still runs could not live with',
  description:
    'Reads migrations as PostgreSQL does and warns of what hurts while the old release still runs: dropped and renamed columns and tables, NOT NULL without a default, tables written anew, indexes and constraints that lock. A line "-- zdd: allow RULE" before a statement allows it. Asks no agent and no database. push --dry-run says the same of migrations that are new.',
  examples: [
    ['zdd-agent lint', 'the migrations folder of zdd.yaml'],
    ['zdd-agent lint db/migrate/0042_names.sql', 'a certain file'],
    ['zdd-agent lint --strict', 'for CI: any warning is exit code 10'],
  ],
  args: [{ name: '[PATH...]', description: 'files or folders; default: migrations of zdd.yaml' }],
  options: [{ flags: '--strict', description: 'exit with 10 where there is a warning' }],
  aside: true,
  async run(input, context) {
    const { lint: lintPaths } = await import('../lint/lint.ts');
    return lintPaths(context, input.rest(0), input.flag('strict'));
  },
};
