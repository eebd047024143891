import { rm } from 'node:fs/promises';
import { batchId } from '../store/batch-id.ts';
import { Pool } from '../store/pool.ts';
import type { Store } from '../store/store.ts';
import { type Attempt, completeBatch } from './again.ts';
import { type Batch, type ClaimPlace, cutBatches } from './batch.ts';
import { type Claim, claim } from './claim.ts';
import { assertClock } from './clock.ts';
import { KnownBatches } from './known.ts';
import { type LedgerEntry, ownerIn } from './ledger.ts';
import type { IngestDeps, IngestOptions } from './options.ts';
import { settlePlace } from './recover.ts';
import { lineOptions, rootKey } from './root-key.ts';
import type { Source } from './source.ts';
import { spool } from './spool.ts';
import type { BatchTotals } from './stored-rows.ts';
import { type IngestSummary, Tally } from './summary.ts';
import { beginAttempt } from './write.ts';

/** Places for as many batches under way as a store takes. */
export function slotsOf({ parallelism }: Store): Pool<true> {
  return new Pool(parallelism, async () => true as const);
}

/** One run of ingest(): takes its sources one after the other, with several batches under way. */
export class Run {
  readonly #options: IngestOptions;
  readonly #deps: IngestDeps;
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
  readonly #tally = new Tally();

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
    const cutShort = () => stop?.aborted === true && !(source.ended?.() ?? !source.live);
    const options = {
      ...this.#options,
      ...(source.live && { live: source.live }),
      ...(source.length !== undefined && { length: source.length }),
      ...(source.from && { from: source.from }),
      cutShort,
    };
    for await (const batch of cutBatches(source.read(stop), root, options, lookup, this.#claimPlace)) {
      if (stop?.aborted && (batch.unfinished || !(source.once || source.live))) return false;
      this.#deps.onBatch?.(batch);
      await source.onTake?.(batch);
      if (batch.known?.committed) await this.#skip(batch);
      else await this.#start(source, batch);
      if (this.#failure !== undefined) throw this.#failure;
    }
    return !cutShort();
  }

  readonly #claimPlace: ClaimPlace = async (previousKey, head, lookedUp) => {
    if (this.#options.dryRun) return true;
    const { store, now } = this.#deps;
    const place = { previousKey, head };
    this.#claim = await claim(store, place);
    // A batch of this run may have failed while it was waited for: then it is not for this run to settle.
    if (this.#failure !== undefined) throw this.#failure;
    await assertClock(store, now);
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
    this.#tally.skip(batch);
    this.#tellProgress();
  }

  #add(batch: Pick<Batch, 'lines' | 'bytes'>, totals: BatchTotals): void {
    this.#tally.add(batch, totals);
    this.#tellProgress();
  }

  #tellProgress(): void {
    this.#deps.onProgress?.(this.#tally.summary(), this.#tally.bytesDone);
  }

  summary(): IngestSummary {
    return this.#tally.summary();
  }

  /** What the run leaves behind, one sentence. */
  kept(): string {
    if (this.#options.dryRun) return 'nothing was written (dry run)';
    const done = this.#tally.stored;
    if (done === 0n)
      return this.#began
        ? 'the batch under way may or may not be ingested, all before it is safe, and the same command goes on'
        : 'nothing new is ingested';
    return `${done} lines before that are ingested and safe, and the same command goes on after them`;
  }
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
    months: {},
  };
}
