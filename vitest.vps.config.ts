import { defineConfig } from 'vitest/config';

/** Hosts boot, apps deploy, traffic runs: each file has a host of its own. Much of it is waiting. */
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
