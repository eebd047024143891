import { isDeepStrictEqual } from 'node:util';
import type { Store } from '../store/store.ts';
import type { Place } from './claim.ts';
import { batchesSince, knownBatches } from './ledger.ts';
import type { KnownBatch, Lookup } from './recognise.ts';

/** Places of a chain that are read ahead at once: few at first, four times as many whenever that helped; some 2 MB. */
const AHEAD = { first: 100, most: 6_400 };

/**
 * The batches that are known, from the ledger and from this run. A query costs
 * some 10 ms, and an input may have come in thousands of batches: after a known
 * one, those that are likely to follow are read at once. What was read ahead
 * counts only where the input has its bytes; all else is asked of the ledger.
 */
export class KnownBatches {
  /** The ledger; none where nothing is written. */
  readonly #store: Store | undefined;
  /** Batches of this run that the ledger does not have as committed yet. */
  readonly #begun = new Map<string, KnownBatch[]>();
  /** Committed batches that were read ahead: of each place either all or none. */
  #ahead = new Map<string, KnownBatch[]>();
  #reach = AHEAD.first;
  /** What the ledger answered last, and of which place. */
  #answer: readonly KnownBatch[] = [];
  #answered = '';

  constructor(store: Store | undefined) {
    this.#store = store;
  }

  readonly lookup: Lookup = (previousKey, head) => this.#lists({ previousKey, head });

  async *#lists(place: Place): AsyncGenerator<readonly KnownBatch[]> {
    const begun = this.#begun.get(nameOf(place)) ?? [];
    if (!this.#store) return yield begun;
    if (!this.#ahead.has(nameOf(place)) && this.#follows(place)) await this.#readAhead(this.#store, place);
    const ahead = this.#ahead.get(nameOf(place));
    if (ahead) yield [...begun, ...ahead];
    this.#answer = await knownBatches(this.#store, place.previousKey, place.head);
    this.#answered = nameOf(place);
    yield [...begun, ...this.#answer];
  }

  /** Whether the ledger still has at a place what it had when that was looked up; nothing where it was not. */
  async unchanged(place: Place): Promise<boolean> {
    if (!this.#store) return true;
    const seen = this.#answered === nameOf(place) ? this.#answer : [];
    const found = await knownBatches(this.#store, place.previousKey, place.head);
    // The order of the rows is the ledger's own.
    const same = (batch: KnownBatch) => seen.some((before) => isDeepStrictEqual(before, batch));
    if (found.length === seen.length && found.every(same)) return true;
    this.#ahead.delete(nameOf(place));
    return false;
  }

  /** Whether the ledger has a batch at a place, as it was looked up, that is not committed. */
  hasOpen(place: Place): boolean {
    return this.#answered === nameOf(place) && this.#answer.some(({ committed }) => !committed);
  }

  /** Whether the place comes after a committed batch of the last answer. */
  #follows({ previousKey }: Place): boolean {
    return this.#answer.some(({ committed, key }) => committed && key === previousKey);
  }

  async #readAhead(store: Store, place: Place): Promise<void> {
    this.#ahead = new Map();
    for (const { previousKey, head, ...known } of await batchesSince(store, place.previousKey, this.#reach)) {
      add(this.#ahead, { previousKey, head }, known);
    }
    this.#reach = this.#ahead.has(nameOf(place)) ? Math.min(this.#reach * 4, AHEAD.most) : AHEAD.first;
  }

  /** A batch of this run is on its way: from here on it counts as known. If it fails, so does the run. */
  begun(place: Place, batch: Omit<KnownBatch, 'committed' | 'fixed'>): void {
    add(this.#begun, place, { ...batch, committed: true, fixed: false });
  }

  /** The ledger has it now. */
  committed(place: Place, { key }: Pick<KnownBatch, 'key'>): void {
    const others = (this.#begun.get(nameOf(place)) ?? []).filter((batch) => batch.key !== key);
    if (others.length > 0) this.#begun.set(nameOf(place), others);
    else this.#begun.delete(nameOf(place));
    // What was read before that may lack it.
    this.#ahead.delete(nameOf(place));
  }
}

function add(to: Map<string, KnownBatch[]>, place: Place, batch: KnownBatch): void {
  const there = to.get(nameOf(place));
  if (there) there.push(batch);
  else to.set(nameOf(place), [batch]);
}

function nameOf({ previousKey, head }: Place): string {
  return previousKey + head;
}
