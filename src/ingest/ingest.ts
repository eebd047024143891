import { createHash, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { InfrasageError } from '../errors.ts';
import { batchId } from '../store/batch-id.ts';
import { Pool } from '../store/pool.ts';
import type { LineOptions, Store } from '../store/store.ts';
import { type Attempt, completeBatch } from './again.ts';
import { type Batch, type ClaimPlace, cutBatches } from './batch.ts';
import { type Claim, claim } from './claim.ts';
import { KnownBatches } from './known.ts';
import { type LedgerEntry, ownerIn } from './ledger.ts';
import { settlePlace } from './recover.ts';
import type { Source } from './source.ts';
import { spool } from './spool.ts';
import type { BatchTotals } from './stored-rows.ts';
import { beginAttempt } from './write.ts';

/**
 * Input of one batch, bytes. Larger ones cost memory, smaller ones the fixed
 * time of a statement (0.06 CPU-seconds) more often: 16 to 64 MB were
 * about equally fast, 8 MB a third slower.
 */
export const BATCH_BYTES = 32_000_000;

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

/** What became of the input: lines = accepted + rejected + skipped. */
export interface IngestSummary {
  lines: bigint;
  accepted: bigint;
  rejected: bigint;
  /** Lines that were ingested before. */
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

/** Places for as many batches under way as a store takes. */
export function slotsOf({ parallelism }: Store): Pool<true> {
  return new Pool(parallelism, async () => true as const);
}

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

/**
 * The key that the first batch of an input is chained on. The same bytes with
 * the same options give the same chain, under any name; with other options
 * the outcome may differ, so that is another chain.
 */
export function rootKey({ allowDuplicates, ...options }: IngestOptions): string {
  const identity = allowDuplicates ? randomUUID() : JSON.stringify(lineOptions(options));
  return createHash('sha256').update(`infrasage chain 1\n${identity}`).digest('hex');
}

class Run {
  readonly #options: IngestOptions;
  readonly #deps: IngestDeps;
  readonly #started = performance.now();
  readonly #slots: Pool<true>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #known: KnownBatches;
  /** The claim of the batch that is being cut; a dry run claims nothing. */
  #claim: Claim | undefined;
  /** Keys of the batches under way, whose places this run has claimed. */
  readonly #writing = new Set<string>();
  #failure: unknown;
  /** Whether a batch was begun. */
  #began = false;
  #bytesDone = 0;
  #lines = 0n;
  #skipped = 0n;
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
    this.#slots = deps.slots ?? slotsOf(deps.store);
    this.#known = new KnownBatches(options.dryRun ? undefined : deps.store);
  }

  /**
   * Reads a source; its last batches may still be under way.
   * @returns whether it was read to its end, and not cut short by a stop
   */
  async take(source: Source): Promise<boolean> {
    const { stop } = this.#deps;
    const root = source.root ?? rootKey(this.#options);
    const { lookup } = this.#known;
    const options = {
      ...this.#options,
      ...(source.live && { live: source.live }),
      ...(source.from && { from: source.from }),
    };
    for await (const batch of cutBatches(source.read(stop), root, options, lookup, this.#claimPlace)) {
      if (stop?.aborted && (batch.unfinished || !(source.once || source.live))) return false;
      this.#deps.onBatch?.(batch);
      await source.onTake?.(batch);
      if (batch.known?.committed) await this.#skip(batch);
      else await this.#start(source, batch);
      if (this.#failure !== undefined) throw this.#failure;
    }
    return !stop?.aborted || (source.ended?.() ?? !source.live);
  }

  readonly #claimPlace: ClaimPlace = async (previousKey, head, lookedUp) => {
    if (this.#options.dryRun) return true;
    const { store, now } = this.#deps;
    const place = { previousKey, head };
    this.#claim = await claim(store, place);
    // A batch of this run may have failed while it was waited for: then it is not for this run to settle.
    if (this.#failure !== undefined) throw this.#failure;
    // Nobody else can have come this far: the new batch before is still claimed.
    if (!lookedUp && this.#writing.has(previousKey)) return true;
    // What was not committed may be pending: it must be settled before another attempt begins.
    if (this.#known.hasOpen(place)) await settlePlace(store, this.#claim, place, { now });
    if (await this.#known.unchanged(place)) return true;
    await this.#releaseClaim();
    return false;
  };

  async #releaseClaim(): Promise<void> {
    await this.#claim?.release();
    this.#claim = undefined;
  }

  /** Waits for the batches under way. */
  async settle(): Promise<void> {
    await this.#releaseClaim();
    await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits for the batches under way whatever becomes of them: the engine must be idle before it is closed. */
  async abandon(): Promise<void> {
    await this.#releaseClaim();
    await Promise.allSettled(this.#underWay);
  }

  /** Spools a batch and writes it in the background, no more at once than the store takes. */
  async #start(source: Source, { pieces, known, end, ending, ...batch }: Batch): Promise<void> {
    const { store, now } = this.#deps;
    const attempt = (known?.attempt ?? 0) + 1;
    const wanted: LedgerEntry = {
      ...batch,
      batchId: batchId(batch.key, attempt),
      attempt,
      source: source.name,
      once: source.once,
      spooled: pieces.reduce((sum, piece) => sum + piece.length, 0),
      owner: ownerIn(store),
      options: lineOptions(this.#options),
      bindings: source.boundTo == null ? [] : [{ line: batch.firstLine, tenant: source.boundTo }],
      receivedAt: now(),
    };
    const path = await spool(store.spoolDir, wanted, pieces);
    const slot = await this.#slots.take();
    const free = () => this.#slots.give(slot);
    if (this.#failure !== undefined) return rm(path, { force: true }).finally(free);
    const held = this.#claim;
    if (held) {
      this.#began = true;
      await this.#intend(held, wanted).catch((error: unknown) => {
        free();
        throw error;
      });
    }
    const written: Attempt = { entry: wanted, path };
    const totals = held ? completeBatch(store, held, written, now) : this.#judge(wanted, path);
    this.#claim = undefined;
    this.#writing.add(batch.key);
    this.#known.begun(batch, wanted);
    let lost = false;
    const writing = totals
      .then((found) => {
        if (!this.#options.dryRun) this.#known.committed(batch, batch);
        this.#add(batch, found);
      })
      .then(() => rm(written.path, { force: true }))
      .catch(async (error: unknown) => {
        lost = true;
        this.#failure ??= error;
        this.#deps.onFailure?.(error);
        // Recovery needs the spool file of what cannot be read again, and no other.
        if (!source.once) await rm(written.path, { force: true });
      })
      .finally(async () => {
        this.#writing.delete(batch.key);
        free();
        if (held) await (lost ? this.#giveUp(written.entry, held) : held.release());
        this.#underWay.delete(writing);
      });
    this.#underWay.add(writing);
  }

  async #intend(held: Claim, wanted: LedgerEntry): Promise<void> {
    try {
      await beginAttempt(this.#deps.store, held, wanted, this.#deps.now);
    } catch (error) {
      this.#claim = undefined;
      await this.#giveUp(wanted, held);
      throw error;
    }
  }

  async #giveUp(attempt: LedgerEntry, held: Claim): Promise<void> {
    if (this.#deps.onUnsettled) this.#deps.onUnsettled(attempt, held);
    else await held.release();
  }

  async #judge(wanted: LedgerEntry, path: string): Promise<BatchTotals> {
    return fromVerdicts(await this.#deps.store.judgeBatch({ ...wanted, path }));
  }

  async #skip(batch: Batch): Promise<void> {
    await this.#releaseClaim();
    this.#lines += BigInt(batch.lines);
    this.#skipped += BigInt(batch.lines);
    this.#bytesDone += batch.bytes;
    this.#deps.onProgress?.(this.summary(), this.#bytesDone);
  }

  #add({ lines, bytes }: Pick<Batch, 'lines' | 'bytes'>, totals: BatchTotals): void {
    this.#lines += BigInt(lines);
    this.#bytesDone += bytes;
    this.#totals.accepted += totals.accepted;
    this.#totals.rejected += totals.rejected;
    this.#totals.bytesReceived += totals.bytesReceived;
    this.#totals.bytesIngested += totals.bytesIngested;
    for (const [code, count] of Object.entries(totals.errors)) {
      this.#totals.errors[code] = (this.#totals.errors[code] ?? 0n) + count;
    }
    this.#deps.onProgress?.(this.summary(), this.#bytesDone);
  }

  summary(): IngestSummary {
    const { accepted, rejected, bytesReceived, bytesIngested, errors } = this.#totals;
    return {
      lines: this.#lines,
      accepted,
      rejected,
      skipped: this.#skipped,
      bytes_received: bytesReceived,
      bytes_ingested: bytesIngested,
      errors: byCount(errors),
      elapsed_ms: Math.round(performance.now() - this.#started),
    };
  }

  /** What the run leaves behind, one sentence. */
  kept(): string {
    if (this.#options.dryRun) return 'nothing was written (dry run)';
    const done = this.#totals.accepted + this.#totals.rejected;
    if (done === 0n)
      return this.#began
        ? 'the batch under way may or may not be ingested, all before it is safe, and the same command goes on'
        : 'nothing new is ingested';
    return `${done} lines before that are ingested and safe, and the same command goes on after them`;
  }
}

function byCount(errors: Record<string, bigint>): Record<string, bigint> {
  return Object.fromEntries(
    Object.entries(errors).sort(([a, m], [b, n]) => (n > m ? 1 : n < m ? -1 : a < b ? -1 : 1)),
  );
}

/** The summaries of several runs as one; elapsed_ms is that of the longest. */
export function together(summaries: readonly IngestSummary[]): IngestSummary {
  const sum = (of: (summary: IngestSummary) => bigint) => summaries.reduce((all, one) => all + of(one), 0n);
  const codes = new Set(summaries.flatMap(({ errors }) => Object.keys(errors)));
  return {
    lines: sum(({ lines }) => lines),
    accepted: sum(({ accepted }) => accepted),
    rejected: sum(({ rejected }) => rejected),
    skipped: sum(({ skipped }) => skipped),
    bytes_received: sum(({ bytes_received }) => bytes_received),
    bytes_ingested: sum(({ bytes_ingested }) => bytes_ingested),
    errors: byCount(
      Object.fromEntries([...codes].map((code) => [code, sum(({ errors }) => errors[code] ?? 0n)])),
    ),
    elapsed_ms: Math.max(0, ...summaries.map(({ elapsed_ms }) => elapsed_ms)),
  };
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
