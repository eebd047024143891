import type { Pool } from '../store/pool.ts';
import type { LineOptions, Store } from '../store/store.ts';
import type { Batch } from './batch.ts';
import type { Claim } from './claim.ts';
import type { LedgerEntry } from './ledger.ts';
import type { IngestSummary } from './summary.ts';

/**
 * Input of one batch, bytes. Larger ones cost memory, smaller ones the fixed
 * time of their statements (0.13 CPU-seconds) more often: 48 MB took 5 %
 * longer and 100 MB less memory.
 */
export const BATCH_BYTES = 64_000_000;

/** How lines are taken. */
export interface IngestOptions extends LineOptions {
  /** Validate and report, write nothing. */
  dryRun: boolean;
  /** Ingest again what the ledger has already, as a chain of its own. */
  allowDuplicates: boolean;
  /** Input of one batch, bytes; more than maxLine. */
  batchBytes: number;
  /** Milliseconds after which slow input is written. */
  flushMs: number;
}

/** What a run works with, and whom it tells. */
export interface IngestDeps {
  store: Store;
  now(): Date;
  /** Ends the run early: batches under way are finished, and of input that cannot be read again, the whole lines read. */
  stop?: AbortSignal;
  /** Called after each batch, with the summary so far and the bytes of the input that it covers. */
  onProgress?: (summary: IngestSummary, bytesDone: number) => void;
  /** Called where all of the input was read to its end: a stop that comes later cuts nothing short. */
  onEnd?: () => void;
  /** Called with each batch of the input, known or new, before it is taken. */
  onBatch?: (batch: Pick<Batch, 'previousKey' | 'key' | 'firstLine' | 'sourceLines' | 'lines'>) => void;
  /**
   * Called with each attempt of which it is not known what became: it is pending, if its intent was written. The
   * claim of its place is the caller's from then on; without this, it is released, and the attempt left to recovery.
   */
  onUnsettled?: (entry: LedgerEntry, held: Claim) => void;
  /** Told at once where a batch fails: the run itself ends only when its source has given the next one. */
  onFailure?: (error: unknown) => void;
  /** Places for batches under way, where several runs have them in common; without it, as many as the store takes. */
  slots?: Pool<true>;
}
