import type { FileHandle } from 'node:fs/promises';
import pLimit from 'p-limit';
import { AROUND_MS, beside, compare, type Entry, knownBy, openAs, seenBy } from './copies.ts';
import type { Positions } from './positions.ts';
import type { Readers } from './readers.ts';
import { Seen } from './seen.ts';

/** The files beside a followed one that may have had its name while nobody looked. */
export class RotatedFiles {
  readonly #paths: ReadonlySet<string>;
  readonly #positions: Positions;
  readonly #readers: Readers;
  readonly #oneAtATime = pLimit(1);
  /** Versions of them that are generations, or copies of such. */
  readonly #known = new Set<string>();
  /** Until when, and for what, they are looked at: a listing may miss one that is being renamed. */
  #around: { since: number; until: number } | undefined;

  /** @param paths of the followed one: its name, and what it leads to where it is a link */
  constructor(paths: ReadonlySet<string>, positions: Positions, readers: Readers) {
    this.#paths = paths;
    this.#positions = positions;
    this.#readers = readers;
  }

  /**
   * Takes files that had the name for so short a time that they were not seen with it.
   * @param since when the last one that was seen was changed
   */
  discover(since: number): Promise<void> {
    const until = performance.now() + AROUND_MS;
    this.#around = { since: Math.min(since, this.#around?.since ?? since), until };
    this.#positions.since = this.#around.since;
    return this.#oneAtATime(() => this.#takeOthers(since));
  }

  /** Looks once more, as long as some may have been missed. */
  async lookAround(): Promise<void> {
    if (!this.#around) return;
    const { since, until } = this.#around;
    await this.#oneAtATime(() => this.#takeOthers(since));
    if (performance.now() <= until) return;
    this.#around = undefined;
    this.#positions.since = undefined;
  }

  async #takeOthers(since: number): Promise<void> {
    for (const entry of await beside(this.#paths)) {
      if (entry.modified < since || !entry.rotated) continue;
      // Where it was cut off after it was opened, its tail will find that out.
      if (this.#known.has(entry.version) || this.#readers.find(entry.id)) continue;
      const file = await openAs(entry);
      if (!file) continue;
      const known = await this.#isKnown(file, entry);
      if (known === 'perhaps') {
        await file.close();
        if (this.#around) this.#around.until = performance.now() + AROUND_MS;
        continue;
      }
      if (known) await file.close();
      else {
        const generation = this.#positions.add(entry.id, entry.modified);
        await this.#positions.save();
        if (entry.compressed) this.#readers.readRest(generation, file, entry);
        else this.#readers.read(generation, file, { ...entry, left: true, seen: new Seen() });
      }
      this.#known.add(entry.version);
    }
  }

  /**
   * Whether a file is a generation or a copy of one, of which all is or will be ingested; perhaps, where it has more
   * than was read of a file that goes on: that may be the original, or start alike. Perhaps, too, where it cannot be read now.
   */
  async #isKnown(file: FileHandle, entry: Entry): Promise<boolean | 'perhaps'> {
    let perhaps = false;
    const open = new Map([...this.#readers.opened].map(({ generation, tail }) => [generation, tail]));
    for (const generation of this.#positions.generations) {
      const tail = open.get(generation);
      const known = tail ? seenBy(tail.seen) : knownBy(generation);
      const is = known ? await compare(file, entry, known) : 'other';
      if (is === 'unreadable' || (is === 'longer' && tail && !tail.over)) perhaps = true;
      else if (is !== 'other') return true;
    }
    return perhaps && 'perhaps';
  }
}
