import { rm } from 'node:fs/promises';
import { type Claim, claim } from '../ingest/claim.ts';
import type { LedgerEntry } from '../ingest/ledger.ts';
import { recover, settlePlace } from '../ingest/recover.ts';
import { spoolPath } from '../ingest/spool.ts';
import type { Store } from '../store/store.ts';

/**
 * Batches of which it is open what became: those that an earlier process left
 * behind, and those that failed in this one. A program that goes on must
 * settle them before it writes anything more, or a batch could count beside
 * the retry of its request.
 */
export class Unsettled {
  readonly #store: Store;
  readonly #now: () => Date;
  readonly #entries = new Map<string, { entry: LedgerEntry; held: Claim | undefined }>();
  #settling: Promise<void> = Promise.resolve();
  #recovered = false;

  constructor(store: Store, now: () => Date) {
    this.#store = store;
    this.#now = now;
  }

  /** @param held the claim of its place, where it is still held; released when it is settled */
  add(entry: LedgerEntry, held?: Claim): void {
    this.#entries.set(entry.batchId, { entry, held });
  }

  /**
   * Settles what there is: a batch whose rows are all there is committed, the
   * rows of any other are removed, and it is marked aborted.
   * @throws InfrasageError (exit 3) where that cannot be done now, such as on a full disk
   */
  settle(): Promise<void> {
    const mine = this.#settling.then(() => this.#settleAll());
    // One at a time; a failure is for who asked.
    this.#settling = mine.catch(() => {});
    return mine;
  }

  async #settleAll(): Promise<void> {
    if (!this.#recovered) {
      await recover(this.#store, { now: this.#now });
      this.#recovered = true;
    }
    for (const { entry, held } of this.#entries.values()) {
      const place = held ?? (await claim(this.#store, entry));
      try {
        await this.#settleOne(entry, place);
      } catch (error) {
        this.#entries.set(entry.batchId, { entry, held: place });
        throw error;
      }
      this.#entries.delete(entry.batchId);
      await place.release();
    }
  }

  async #settleOne(entry: LedgerEntry, place: Claim): Promise<void> {
    await settlePlace(this.#store, place, entry, { now: this.#now, redo: false });
    await rm(spoolPath(this.#store.spoolDir, entry), { force: true });
  }
}
