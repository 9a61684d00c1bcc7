import { defineConfig } from 'vitest/config';

/** Hosts boot, apps deploy, traffic runs: every file has a host of its own, three run at a time: much of it is waiting. */
export default defineConfig({
  test: {
    include: ['test/vps/**/*.vps.ts'],
    globalSetup: ['test/vps/lab/installed.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 3,
  },
});
