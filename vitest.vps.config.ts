import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest begins first, so that the last file does not run alone. */
const LONGEST = [
  'install',
  'faults',
  'features',
  'agent',
  'instances',
  'reboot',
  'cron',
  'isolation',
  'exec-env',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.indexOf(basename(moduleId, '.vps.ts'));
      return at < 0 ? LONGEST.length : at;
    };
    return files.toSorted((a, b) => rank(a) - rank(b));
  }
}

/** Hosts boot, apps deploy, traffic runs: each file has a host of its own. Much of it is waiting. */
export default defineConfig({
  test: {
    include: ['test/vps/**/*.vps.ts'],
    globalSetup: ['test/vps/lab/installed.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
  },
});
