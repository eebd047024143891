import { createHash, randomUUID } from 'node:crypto';
import { InfrasageError } from '../errors.ts';
import { thisProcess } from '../store/process.ts';
import type { LandingBatch, LineOptions, Store } from '../store/store.ts';
import { type Batch, cutBatches } from './batch.ts';
import { type BatchTotals, countBatch, type LedgerEntry, recordCommit, recordIntent } from './ledger.ts';
import type { Source } from './source.ts';
import { spool } from './spool.ts';

/**
 * Input of one batch, bytes. Larger ones cost memory, smaller ones the fixed
 * time of a statement (0.06 CPU-seconds) more often: of 8, 16, 32 and 64 MB,
 * the last two were fastest and within 10 % of each other.
 */
const BATCH_BYTES = 32_000_000;

export interface IngestOptions extends LineOptions {
  /** Validate and report, write nothing. */
  dryRun: boolean;
  /** Milliseconds after which slow input is written. */
  flushMs: number;
}

/** What became of the input: lines = accepted + rejected + skipped. */
export interface IngestSummary {
  lines: bigint;
  accepted: bigint;
  rejected: bigint;
  skipped: bigint;
  bytes_received: bigint;
  bytes_ingested: bigint;
  /** Rejected lines by error code, most frequent first. */
  errors: Record<string, bigint>;
  elapsed_ms: number;
}

export interface IngestDeps {
  store: Store;
  now(): Date;
  /** Called after each batch, with the summary so far and the bytes read. */
  onProgress?: (summary: IngestSummary, bytesRead: number) => void;
}

/**
 * Ingests sources one after the other: every line is stored in the firehose
 * and metered, or kept as a dead letter. A batch is written whole; when this
 * returns, everything in the summary is committed and durable.
 * @throws InfrasageError (exit 3) that says what was kept, where it could not go on
 */
export async function ingest(
  sources: readonly Source[],
  options: IngestOptions,
  deps: IngestDeps,
): Promise<IngestSummary> {
  const run = new Run(options, deps);
  try {
    for (const source of sources) await run.take(source);
    await run.settle();
  } catch (error) {
    await run.abandon();
    throw error instanceof InfrasageError ? error.withKept(run.kept()) : error;
  }
  return run.summary();
}

class Run {
  readonly #options: IngestOptions;
  readonly #deps: IngestDeps;
  readonly #started = performance.now();
  readonly #underWay = new Set<Promise<void>>();
  readonly #owner = JSON.stringify(thisProcess());
  #failure: unknown;
  #bytesRead = 0;
  #lines = 0n;
  readonly #totals: BatchTotals = {
    accepted: 0n,
    rejected: 0n,
    bytesReceived: 0n,
    bytesIngested: 0n,
    errors: {},
  };

  constructor(options: IngestOptions, deps: IngestDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Reads a source to its end; its last batches may still be under way. */
  async take(source: Source): Promise<void> {
    // A chain of its own for each run, so that the same input may be ingested again.
    const root = createHash('sha256').update(randomUUID()).digest('hex');
    const cut = { batchBytes: BATCH_BYTES, maxLine: this.#options.maxLine, flushMs: this.#options.flushMs };
    for await (const batch of cutBatches(source.read(), root, cut)) {
      this.#bytesRead += batch.bytes;
      if (batch.lines > 0) await this.#start(source, batch);
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  /** Waits for the batches under way. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits for the batches under way whatever becomes of them: the engine must be idle before it is closed. */
  async abandon(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  /** Spools a batch and writes it in the background, no more at once than the store takes. */
  async #start(source: Source, batch: Batch): Promise<void> {
    const attempt = 1;
    const entry: LedgerEntry = {
      batchId: `${batch.key}#${attempt}`,
      // Its pieces are on disk in a moment, and their buffer is used again.
      batch: { ...batch, pieces: [] },
      attempt,
      source: source.name,
      owner: this.#owner,
      options: lineOptions(this.#options),
      receivedAt: this.#deps.now(),
    };
    const file = await spool(this.#deps.store.spoolDir, entry.batchId, batch);
    while (this.#underWay.size >= this.#deps.store.parallelism) await Promise.race(this.#underWay);
    if (this.#failure !== undefined) return file.remove();
    const writing = this.#write(entry, file.path)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => file.remove())
      .finally(() => this.#underWay.delete(writing));
    this.#underWay.add(writing);
  }

  async #write(entry: LedgerEntry, path: string): Promise<void> {
    const { store, now } = this.#deps;
    const landing: LandingBatch = {
      ...entry,
      path,
      firstLine: entry.batch.firstLine,
      crlf: entry.batch.crlf,
      blank: entry.batch.blank,
      cut: entry.batch.cut,
    };
    if (this.#options.dryRun) {
      const verdicts = await store.judgeBatch(landing);
      this.#add(entry.batch.lines, fromVerdicts(verdicts));
      return;
    }
    await recordIntent(store, entry, now());
    await store.writeBatch(landing);
    const totals = await countBatch(store, entry);
    assertWhole(entry, totals);
    await recordCommit(store, entry, totals, now());
    this.#add(entry.batch.lines, totals);
  }

  #add(lines: number, totals: BatchTotals): void {
    this.#lines += BigInt(lines);
    this.#totals.accepted += totals.accepted;
    this.#totals.rejected += totals.rejected;
    this.#totals.bytesReceived += totals.bytesReceived;
    this.#totals.bytesIngested += totals.bytesIngested;
    for (const [code, count] of Object.entries(totals.errors)) {
      this.#totals.errors[code] = (this.#totals.errors[code] ?? 0n) + count;
    }
    this.#deps.onProgress?.(this.summary(), this.#bytesRead);
  }

  summary(): IngestSummary {
    const { accepted, rejected, bytesReceived, bytesIngested, errors } = this.#totals;
    return {
      lines: this.#lines,
      accepted,
      rejected,
      skipped: 0n,
      bytes_received: bytesReceived,
      bytes_ingested: bytesIngested,
      errors: Object.fromEntries(
        Object.entries(errors).sort(([a, m], [b, n]) => (n > m ? 1 : n < m ? -1 : a < b ? -1 : 1)),
      ),
      elapsed_ms: Math.round(performance.now() - this.#started),
    };
  }

  kept(): string {
    if (this.#options.dryRun) return 'nothing was written (dry run)';
    if (this.#lines === 0n) return 'nothing was ingested';
    const { accepted, rejected } = this.#totals;
    return `${this.#lines} lines were ingested before that and are safe (${accepted} accepted, ${rejected} rejected)`;
  }
}

function lineOptions({
  tenant,
  defaultType,
  strict,
  assumeUtc,
  maxAgeSeconds,
  maxLine,
}: LineOptions): LineOptions {
  return { tenant, defaultType, strict, assumeUtc, maxAgeSeconds, maxLine };
}

function fromVerdicts(verdicts: readonly { error: string; lines: bigint; bytes: bigint }[]): BatchTotals {
  const accepted = verdicts.find((v) => v.error === '');
  const rejected = verdicts.filter((v) => v.error !== '');
  return {
    accepted: accepted?.lines ?? 0n,
    rejected: rejected.reduce((sum, v) => sum + v.lines, 0n),
    bytesReceived: accepted?.bytes ?? 0n,
    bytesIngested: 0n,
    errors: Object.fromEntries(rejected.map((v) => [v.error, v.lines])),
  };
}

/** A batch counts only where all three tables hold all of it. */
function assertWhole(
  entry: LedgerEntry,
  { accepted, rejected, metered }: BatchTotals & { metered: bigint },
): void {
  if (accepted + rejected === BigInt(entry.batch.lines) && metered === accepted) return;
  throw new InfrasageError(
    `batch ${entry.batchId} of ${entry.source} is not whole: of ${entry.batch.lines} lines, ${accepted} are in the firehose, ${metered} metered and ${rejected} in the dead letters`,
    { hint: 'it was not committed; please report this with the output of infrasage --version' },
  );
}
