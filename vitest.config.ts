import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/helpers/templates.setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // One engine a process, each with its own data directory.
    pool: 'forks',
    maxWorkers: 2,
  },
});
