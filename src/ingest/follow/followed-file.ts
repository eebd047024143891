import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import pLimit from 'p-limit';
import { InfrasageError } from '../../errors.ts';
import type { Store } from '../../store/store.ts';
import { type Source, startsCompressed, type TakenBatch } from '../source.ts';
import { asEntry, beside, compare, type Entry, entryOf, type Known, openAs, restOf } from './copies.ts';
import { fingerprintOf, type Generation, HEAD_BYTES, type Positions } from './positions.ts';
import { Seen } from './seen.ts';
import { Tail } from './tail.ts';
import type { Ticker } from './ticker.ts';

export interface FollowedDeps {
  store: Store;
  ticker: Ticker;
  stop: AbortSignal;
  /** Ingests a source; returns when it has ended and what was taken of it is committed. */
  ingest(source: Source): Promise<void>;
  /** Says something to the operator. */
  say(text: string): void;
  /** Told of what it cannot go on for; everything is stopped then. */
  fail(error: unknown): void;
}

/** How long files are looked for beside it after it has become another one, ms. */
const AROUND_MS = 3_000;
/** Files that stay open after their names have gone to others. */
const MOST_OPEN = 8;

/** A generation whose file is open. */
interface Opened {
  generation: Generation;
  tail: Tail;
  /** Whether there was nothing in it when it was opened. */
  wasEmpty: boolean;
  /** Whether it is being ingested; false where all that is there is. */
  running: boolean;
}

/**
 * A name, and the files that it stands for one after the other: its
 * generations. Each is a chain of its own, and is read through its own
 * descriptor beside that of the next, so a file that was renamed or deleted is
 * read to its end. What is no longer to be had there (it was copied and cut off),
 * or had the name while nobody looked, is looked for beside it and told by its
 * content.
 */
export class FollowedFile {
  readonly #path: string;
  /** Its name, and what it leads to where it is a link. */
  readonly #paths: Set<string>;
  readonly #positions: Positions;
  readonly #deps: FollowedDeps;
  readonly #opened = new Set<Opened>();
  readonly #running = new Set<Promise<void>>();
  readonly #oneAtATime = pLimit(1);
  /** Versions of files beside it that are generations, or copies of them. */
  readonly #known = new Set<string>();
  /** Until when, and for what, the files beside it are looked at: a listing may miss one that is being renamed. */
  #around: { since: number; until: number } | undefined;
  #current: Opened | undefined;
  /** When the last one was changed, where there is no current one any more. */
  #before: number | undefined;
  /** What was last said of why the name cannot be read. */
  #said = '';

  constructor(path: string, positions: Positions, deps: FollowedDeps) {
    this.#path = path;
    this.#paths = new Set([resolve(path)]);
    this.#positions = positions;
    this.#deps = deps;
  }

  /** Follows it until it is told to stop; what was read is committed then. */
  async follow(): Promise<void> {
    const { stop, ticker, fail } = this.#deps;
    try {
      await this.#resume();
      while (!stop.aborted) {
        await this.#look();
        await ticker.next();
      }
    } catch (error) {
      fail(error);
    }
    await Promise.all(this.#running);
    for (const { tail } of this.#opened) await tail.close();
  }

  /** Goes on with the generations that are written down, wherever they are now. */
  async #resume(): Promise<void> {
    await this.#followLink();
    const since = await this.#positions.settle(this.#deps.store);
    const taken = new Set<string>();
    for (const generation of this.#positions.generations.toReversed()) {
      const own = await entryOf(this.#path);
      const entries = [...(own ? [own] : []), ...(await beside(this.#paths))].filter(
        ({ id }) => !taken.has(id),
      );
      const found = await this.#goOn(generation, entries);
      if (found) taken.add(found.id);
      else if (!generation.done) {
        this.#deps.say(
          `${this.#path} was cut off or deleted while it was not followed: what it had then and is not ingested is lost`,
        );
      }
    }
    if (since !== undefined) await this.#discover(since);
  }

  /** Looks for the file of a generation, and reads on in it. */
  async #goOn(generation: Generation, entries: readonly Entry[]): Promise<Entry | undefined> {
    const known = knownBy(generation);
    if (!known) return undefined;
    const likely = entries.toSorted(
      (a, b) => Number(b.id === generation.id) - Number(a.id === generation.id),
    );
    for (const entry of likely) {
      // It was read to its end before it was compressed.
      if (entry.compressed && generation.done) continue;
      const file = await openAs(entry);
      if (!file) continue;
      // Read before it is compared: then it is from what was found to be the same.
      const seen = await seenBefore(file, known.offset);
      const is = await compare(file, entry, known);
      const shorter = entry.size < known.offset;
      if (is === 'longer' && entry.compressed) this.#ingestRest(generation, file, entry);
      else if (is !== 'other' && !entry.compressed && !shorter)
        this.#readOn(generation, file, { ...entry, seen });
      else await file.close();
      // What has the name and is shorter was cut off.
      if (is !== 'other' && !(shorter && entry.path === this.#path)) return entry;
    }
    return undefined;
  }

  /** Sees what the name stands for now, and what became of the others. */
  async #look(): Promise<void> {
    await this.#tidy();
    await this.#lookAround();
    const entry = await entryOf(this.#path);
    const current = this.#current;
    if (entry && entry.id === current?.tail.id && !current.tail.over) {
      current.tail.left = false;
      return;
    }
    if (current) current.tail.left = true;
    const file = await this.#open();
    if (!file) return;
    const since = current?.tail.modified ?? this.#before;
    if (since !== undefined) await this.#discover(since);
    await this.#begin(file);
  }

  async #lookAround(): Promise<void> {
    if (!this.#around) return;
    const { since, until } = this.#around;
    await this.#oneAtATime(() => this.#takeOthers(since));
    if (performance.now() <= until) return;
    this.#around = undefined;
    this.#positions.since = undefined;
  }

  /** Starts with the file that has the name now. */
  async #begin({ file, entry }: { file: FileHandle; entry: Entry }): Promise<void> {
    const open = [...this.#opened].find(({ tail }) => tail.id === entry.id && !tail.over);
    if (open) {
      // It was moved back.
      open.tail.left = false;
      this.#current = open;
      return file.close();
    }
    const generation = this.#positions.add(entry.id, entry.modified);
    await this.#positions.save();
    this.#current = this.#start(generation, file, { ...entry, left: false, seen: new Seen() });
  }

  /** Opens what the name stands for; undefined where that cannot be followed, which is said once. */
  async #open(): Promise<{ file: FileHandle; entry: Entry } | undefined> {
    let file: FileHandle | undefined;
    try {
      // A named pipe would be waited for.
      if (!(await stat(this.#path)).isFile()) throw new Error('it is not a regular file');
      file = await open(this.#path);
      await this.#followLink();
      const entry = await entryAt(file, this.#path);
      if (startsCompressed(file.fd))
        throw new Error('it is compressed; infrasage ingest without --follow takes it');
      this.#said = '';
      return { file, entry };
    } catch (error) {
      await file?.close();
      this.#waitFor(error);
      return undefined;
    }
  }

  async #followLink(): Promise<void> {
    const path = await realpath(this.#path).catch(() => undefined);
    if (path) this.#paths.add(path);
  }

  #waitFor(error: unknown): void {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const words = missing ? 'it is not there' : wordsOf(error);
    if (words !== this.#said) this.#deps.say(`waiting for ${this.#path}: ${words}`);
    this.#said = words;
  }

  /**
   * Takes files that had the name for so short a time that they were not seen with it.
   * @param since when the last one that was seen was changed
   */
  #discover(since: number): Promise<void> {
    const until = performance.now() + AROUND_MS;
    this.#around = { since: Math.min(since, this.#around?.since ?? since), until };
    this.#positions.since = this.#around.since;
    return this.#oneAtATime(() => this.#takeOthers(since));
  }

  async #takeOthers(since: number): Promise<void> {
    for (const entry of await beside(this.#paths)) {
      if (entry.modified < since || !entry.rotated) continue;
      // Where it was cut off after it was opened, its tail will find that out.
      if (this.#known.has(entry.version) || this.#isOpen(entry)) continue;
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
        if (entry.compressed) this.#ingestRest(generation, file, entry);
        else this.#start(generation, file, { ...entry, left: true, seen: new Seen() });
      }
      this.#known.add(entry.version);
    }
  }

  #isOpen({ id }: Entry): boolean {
    return [...this.#opened].some(({ tail }) => tail.id === id && !tail.over);
  }

  /**
   * Whether a file is a generation or a copy of one, of which all is or will be ingested; perhaps, where it has more
   * than was read of a file that goes on: that may be the original, or start alike.
   */
  async #isKnown(file: FileHandle, entry: Entry): Promise<boolean | 'perhaps'> {
    let perhaps = false;
    const open = new Map([...this.#opened].map(({ generation, tail }) => [generation, tail]));
    for (const generation of this.#positions.generations) {
      const tail = open.get(generation);
      const known = tail ? seenBy(tail.seen) : knownBy(generation);
      const is = known ? await compare(file, entry, known) : 'other';
      if (is === 'longer' && tail && !tail.over) perhaps = true;
      else if (is !== 'other') return true;
    }
    return perhaps && 'perhaps';
  }

  /** Reads on in a plain file that is a generation. */
  #readOn(generation: Generation, file: FileHandle, as: Entry & { seen: Seen }): void {
    generation.id = as.id;
    const left = as.path !== this.#path;
    const opened = this.#start(generation, file, { ...as, left });
    if (!left) this.#current = opened;
  }

  #start(
    generation: Generation,
    file: FileHandle,
    as: Pick<Entry, 'id' | 'modified' | 'size'> & { left: boolean; seen: Seen },
  ): Opened {
    const tail = new Tail(file, as, this.#deps.ticker);
    const opened: Opened = { generation, tail, wasEmpty: as.size === 0, running: false };
    this.#opened.add(opened);
    this.#ingest(opened);
    return opened;
  }

  /** Ingests what an open file has and gets. */
  #ingest(opened: Opened): void {
    const { generation, tail } = opened;
    opened.running = true;
    this.#run(generation, tail.seen, this.#bytesOf(opened), () => {
      opened.running = false;
    });
  }

  async *#bytesOf(opened: Opened): AsyncGenerator<Uint8Array> {
    const { generation, tail, wasEmpty } = opened;
    for await (const chunk of tail.read(this.#deps.stop)) {
      // Nothing was known of it until now: it may have been copied and cut off before.
      if (wasEmpty && tail.seen.length === chunk.length) await this.#discover(generation.modified);
      yield chunk;
    }
    if (tail.truncated) {
      yield* this.#restOfCutOff(tail);
      await this.#discover(tail.modified);
    }
  }

  /** Ingests what a compressed file has beyond what was taken of its generation. */
  #ingestRest(generation: Generation, file: FileHandle, { path }: Entry): void {
    const length = generation.marks.at(-1)?.offset ?? 0;
    const seen = new Seen({ length, head: Buffer.alloc(0), recent: Buffer.alloc(0) });
    this.#run(generation, seen, this.#restFrom(file, path, seen), () => void file.close().catch(() => {}));
  }

  /** What an open file has after what was seen of it. */
  async *#restFrom(file: FileHandle, path: string, seen: Seen): AsyncGenerator<Uint8Array> {
    for await (const chunk of restOf(file, path, seen.length)) {
      if (this.#deps.stop.aborted) return;
      seen.add(chunk);
      yield chunk;
    }
  }

  /** What is left of a file that was cut off, from the copy that was made of it before, if there is one. */
  async *#restOfCutOff({ seen }: Tail): AsyncGenerator<Uint8Array> {
    const known = seenBy(seen);
    // Looked for again and again: it may be renamed or compressed while it is looked for.
    const until = performance.now() + AROUND_MS;
    while (known && performance.now() < until && !this.#deps.stop.aborted) {
      for (const entry of await beside(this.#paths)) {
        const file = await openAs(entry);
        if (!file) continue;
        try {
          const is = await compare(file, entry, known);
          if (is === 'other') continue;
          if (is === 'read') return;
          return yield* this.#restFrom(file, entry.path, seen);
        } finally {
          await file.close();
        }
      }
      await this.#deps.ticker.next();
    }
  }

  #run(generation: Generation, seen: Seen, bytes: AsyncIterable<Uint8Array>, ended: () => void): void {
    const { stop, fail, say } = this.#deps;
    // What cannot be read does not end the others; what cannot be ingested does.
    let unreadable = false;
    const path = this.#path;
    const read = async function* () {
      try {
        yield* bytes;
      } catch (error) {
        unreadable = true;
        if (error instanceof InfrasageError) throw error;
        throw new InfrasageError(`${path} cannot be read any further: ${wordsOf(error)}`, { cause: error });
      }
    };
    const base = seen.length;
    const last = generation.marks.at(-1);
    const source: Source = {
      name: this.#path,
      once: false,
      live: true,
      ...(last && { root: last.key, from: { line: last.line, unfinished: last.unfinished } }),
      read,
      onTake: (batch) => this.#mark(generation, seen, { ...batch, end: base + batch.end }),
    };
    const running = this.#deps
      .ingest(source)
      .catch((error: unknown) => (unreadable ? say(wordsOf(error)) : fail(error)))
      .finally(ended)
      .then(() => {
        generation.done = !unreadable && !stop.aborted;
        return this.#positions.save();
      })
      .catch(fail)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Writes down a batch that is going to be begun. */
  async #mark(generation: Generation, seen: Seen, batch: TakenBatch): Promise<void> {
    const { end, firstLine, sourceLines, previousKey, key, unfinished, ending } = batch;
    generation.head ??= fingerprintOf(seen.head(Math.min(HEAD_BYTES, end)));
    generation.modified = this.#modified(generation);
    await this.#positions.mark(generation, {
      offset: end,
      line: firstLine + sourceLines,
      previousKey,
      key,
      unfinished,
      ending: fingerprintOf(ending),
    });
  }

  #modified(generation: Generation): number {
    for (const opened of this.#opened) if (opened.generation === generation) return opened.tail.modified;
    return generation.modified;
  }

  /** Goes on with files that have grown after they were read to their end, and lets go of those that cannot. */
  async #tidy(): Promise<void> {
    for (const opened of this.#opened) {
      const { tail, running } = opened;
      if (running) continue;
      const change = await tail.change();
      const tooMany = this.#opened.size > MOST_OPEN && opened !== this.#current;
      if (tail.over || (tail.left && (change === 'gone' || (change === 'none' && tooMany))))
        await this.#close(opened);
      else if (!tail.left || change === 'grown') this.#ingest(opened);
    }
  }

  async #close(opened: Opened): Promise<void> {
    this.#opened.delete(opened);
    if (opened === this.#current) {
      this.#current = undefined;
      this.#before = opened.tail.modified;
    }
    await opened.tail.close();
  }
}

/** A generation by what is written down of it; undefined where nothing is. */
function knownBy({ head, marks }: Generation): (Known & { offset: number }) | undefined {
  const last = marks.at(-1);
  return head && last && { head, endings: marks, offset: last.offset };
}

/** The same by what was read; undefined where nothing was. */
function seenBy(seen: Seen): (Known & { offset: number }) | undefined {
  if (seen.length === 0) return undefined;
  const offset = seen.length;
  const start = seen.head(HEAD_BYTES);
  const endings = [{ offset, ending: fingerprintOf(seen.ending()) }];
  return { head: fingerprintOf(start), start, endings, offset };
}

/** So many bytes of a file, as they were read another time. */
async function seenBefore(file: FileHandle, length: number): Promise<Seen> {
  const part = async (from: number) => {
    const bytes = Buffer.alloc(Math.min(HEAD_BYTES, length));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
    return bytes.subarray(0, bytesRead);
  };
  return new Seen({ length, head: await part(0), recent: await part(Math.max(0, length - HEAD_BYTES)) });
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function entryAt(file: FileHandle, path: string): Promise<Entry> {
  const found = await file.stat({ bigint: true });
  if (!found.isFile()) throw new Error('it is not a regular file');
  return asEntry(path, found);
}
