import { statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectConfiguration, type UserWorkspaceConfig } from 'vitest/config';

/** What must hold on a ClickHouse server just as it does on the embedded engine, run on both: by `npm test`, */
const ON_SERVER = ['alerts', 'api', 'cli', 'ingest', 'reports', 'serve'];
/** and by `npm run test:server`, */
const MORE_ON_SERVER = [
  ...['again', 'as-of', 'attributes', 'backtest', 'billing', 'billing-explain', 'billing-order', 'capacity'],
  ...['clock', 'closing', 'costs', 'dashboard.routes', 'dlq.commands', 'export', 'known', 'plans.commands'],
  ...['retention', 'telemetry', 'telemetry-http', 'verify'],
];
/** which also runs some of those that have servers of their own. */
const OWN_SERVERS = ['cluster-grants', 'engines', 'server-crash', 'server.failures', 'server.processes'];
/**
 * What `npm run test:more` runs, for npm test to be done in ten minutes: dozens of processes a test, each write that
 * can fail, pages in a browser, terminals.
 */
const MORE = ['beside', 'dashboard', 'faults', 'hostile-pages', 'narrow', 'telemetry-crash', 'top'];

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

/** The engine as the program has it in the tests' own processes: see the file. */
const KEPT_ENGINE = fileURLToPath(new URL('test/helpers/kept-engine.ts', import.meta.url));
const PROGRAM = fileURLToPath(new URL('src/', import.meta.url));

export default defineConfig({
  plugins: [
    {
      name: 'kept-engine',
      enforce: 'pre',
      resolveId: (source, importer) =>
        source === 'chdb' && importer?.startsWith(PROGRAM) ? KEPT_ENGINE : undefined,
    },
  ],
  test: {
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // One engine a process, each with its own data directory.
    pool: 'forks',
    // A process keeps the program and the engine's library from file to file: 0.5 CPU-seconds each.
    isolate: false,
    setupFiles: ['test/helpers/clean-process.setup.ts'],
    // With two, 1.7 of two cores were at work, as tests wait for processes that they start; all files took 901 s, not 801.
    maxWorkers: 3,
    projects: [
      project('embedded', {
        include: ['test/**/*.test.ts'],
        exclude: filesOf([...OWN_SERVERS, ...MORE]),
        globalSetup: ['test/helpers/templates.setup.ts'],
      }),
      project('more', {
        include: filesOf(MORE),
        globalSetup: ['test/helpers/templates.setup.ts'],
      }),
      project('own servers', {
        include: filesOf(OWN_SERVERS),
        globalSetup: ['test/helpers/templates.setup.ts'],
      }),
      project('server', { include: filesOf(ON_SERVER), globalSetup: ['test/helpers/server.setup.ts'] }),
      project('more on a server', {
        include: filesOf(MORE_ON_SERVER),
        globalSetup: ['test/helpers/server.setup.ts'],
      }),
    ],
  },
});

function project(name: string, test: UserWorkspaceConfig['test']): TestProjectConfiguration {
  return { extends: true, test: { name, ...test } };
}

function filesOf(suites: readonly string[]): string[] {
  return suites.map((suite) => `test/${suite}.test.ts`);
}
