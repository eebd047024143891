import type { TestProject } from 'vitest/node';
import { ClickHouseServer } from './clickhouse-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of the server that the test files of a run share; undefined where they run on the embedded engine. */
    clickhouse: string | undefined;
  }
}

/** Starts the server before the first test file, and removes it after the last. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await ClickHouseServer.start();
  project.provide('clickhouse', server.url);
  return () => server.remove();
}
