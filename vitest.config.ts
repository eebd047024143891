import { statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** What must hold on a ClickHouse server just as it does on the embedded engine: run on both. */
const ON_BOTH = [
  ...[
    'again',
    'alerts',
    'api',
    'backtest',
    'billing',
    'billing-explain',
    'billing-order',
    'as-of',
    'attributes',
    'capacity',
    'cli',
    'clock',
    'closing',
    'costs',
    'dashboard.routes',
    'dlq.commands',
    'export',
    'ingest',
    'known',
    'plans.commands',
    'reports',
    'retention',
  ],
  ...['serve', 'telemetry', 'telemetry-http', 'verify'],
];

/**
 * Where the tests have their data, unless TMPDIR says so: in memory, where the machine has plenty. A database waits
 * for its disk most of the time, and what these tests kill is processes; those about a full disk make one.
 */
const MEMORY = '/dev/shm';
const PLENTY = 6 * 1024 ** 3;
if (process.env.TMPDIR === undefined && isRoomy(MEMORY)) process.env.TMPDIR = MEMORY;

function isRoomy(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return Math.min(bavail * bsize, freemem()) > PLENTY;
  } catch {
    return false;
  }
}

/** The engine as the tests' own processes have it: see the file. */
const KEPT_ENGINE = fileURLToPath(new URL('test/helpers/kept-engine.ts', import.meta.url));

export default defineConfig({
  resolve: { alias: { 'chdb/connection': KEPT_ENGINE } },
  test: {
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // One engine a process, each with its own data directory.
    pool: 'forks',
    // A process keeps the program and the engine's library from file to file: 0.5 CPU-seconds each.
    isolate: false,
    setupFiles: ['test/helpers/clean-process.setup.ts'],
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'embedded',
          include: ['test/**/*.test.ts'],
          globalSetup: ['test/helpers/templates.setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'server',
          include: ON_BOTH.map((name) => `test/${name}.test.ts`),
          globalSetup: ['test/helpers/server.setup.ts'],
        },
      },
    ],
  },
});
