import type { IngestOptions } from '../../src/ingest/options.ts';
import { PLAIN_LINES } from '../../src/store/store.ts';

/** As ingest takes lines where nothing is said, with limits that a few of them reach. */
export function ingestOptions(limits: Pick<IngestOptions, 'maxLine' | 'batchBytes'>): IngestOptions {
  return { ...PLAIN_LINES, dryRun: false, allowDuplicates: false, flushMs: 1_000, ...limits };
}
