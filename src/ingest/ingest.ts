import { InfrasageError } from '../errors.ts';
import type { IngestDeps, IngestOptions } from './options.ts';
import { Run } from './run.ts';
import type { Source } from './source.ts';
import type { IngestSummary } from './summary.ts';

/**
 * Ingests sources one after the other: every line is stored in the firehose
 * and metered, or kept as a dead letter, or passed over since the ledger has
 * it. A batch is written whole; when this returns, everything in the summary
 * is committed and durable.
 * @throws InfrasageError (exit 3) that says what was kept, where it could not go on
 */
export async function ingest(
  sources: readonly Source[],
  options: IngestOptions,
  deps: IngestDeps,
): Promise<IngestSummary> {
  const run = new Run(options, deps);
  try {
    let whole = true;
    for (const source of sources) {
      whole = !deps.stop?.aborted && (await run.take(source));
      if (!whole) break;
    }
    if (whole) deps.onEnd?.();
    await run.settle();
  } catch (error) {
    await run.abandon();
    throw error instanceof InfrasageError ? error.withKept(run.kept()) : error;
  }
  return run.summary();
}
