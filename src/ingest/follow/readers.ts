import type { FileHandle } from 'node:fs/promises';
import { InfrasageError } from '../../errors.ts';
import type { Source, TakenBatch } from '../source.ts';
import { AROUND_MS, compare, type Entry, openAs, restOf, seenBy } from './copies.ts';
import { fingerprintOf, type Generation, HEAD_BYTES, type Positions } from './positions.ts';
import { hasFirstLine, type Roots } from './roots.ts';
import { Seen } from './seen.ts';
import { Tail } from './tail.ts';
import type { Ticker } from './ticker.ts';

export interface ReaderDeps {
  ticker: Ticker;
  stop: AbortSignal;
  roots: Roots;
  /** Ingests a source; returns when it has ended and what was taken of it is committed. */
  ingest(source: Source): Promise<void>;
  /** Says something to the operator. */
  say(text: string): void;
  /** Told of what it cannot go on for; everything is stopped then. */
  fail(error: unknown): void;
}

/** What is to be found around the files that are read. */
export interface Surroundings {
  /** The files beside them. */
  beside(): Promise<Entry[]>;
  /** Takes those that had the name unseen. @param since when the last one that was seen was changed, ms */
  discover(since: number): Promise<void>;
}

/** Files that stay open after their names have gone to others. */
const MOST_OPEN = 8;

/** A generation whose file is open. */
export interface Opened {
  generation: Generation;
  tail: Tail;
  /** What its first batch is chained on; undefined until that is decided. */
  root: string | undefined;
  /** Whether it is to be said that it is skipped, where its start is known: it was begun after another of its name. */
  later: boolean;
  /** Whether there was nothing in it when it was opened. */
  wasEmpty: boolean;
  /** Whether it is being ingested; false where all that is there is. */
  running: boolean;
}

/** Reads the files that a followed name has stood for, each as a source of its own, and writes down how far. */
export class Readers {
  readonly #path: string;
  readonly #positions: Positions;
  readonly #deps: ReaderDeps;
  readonly #around: Surroundings;
  readonly opened = new Set<Opened>();
  readonly #running = new Set<Promise<void>>();
  /** What was last said of why a file cannot be read. */
  #said = '';

  /** @param path what their sources are called */
  constructor(path: string, positions: Positions, deps: ReaderDeps, around: Surroundings) {
    this.#path = path;
    this.#positions = positions;
    this.#deps = deps;
    this.#around = around;
    deps.roots.add({ path, opened: this.opened });
  }

  /** The open file with this device and inode; a file that is gone has none any more. */
  find(id: string): Opened | undefined {
    return [...this.opened].find(({ tail }) => tail.id === id && !tail.over);
  }

  /** Reads a file of a generation, from after what was seen of it on, as it grows. */
  read(
    generation: Generation,
    file: FileHandle,
    as: Pick<Entry, 'id' | 'modified' | 'size'> & { left: boolean; later?: boolean; seen: Seen },
  ): Opened {
    const tail = new Tail(file, as, this.#deps.ticker);
    const decided = generation.marks.length > 0 || as.left;
    const root = generation.root ?? (decided ? this.#deps.roots.common : undefined);
    const opened: Opened = {
      generation,
      tail,
      root,
      wasEmpty: as.size === 0,
      later: as.later ?? false,
      running: false,
    };
    this.opened.add(opened);
    this.#ingest(opened);
    return opened;
  }

  /** Ingests what an open file has and gets. */
  #ingest(opened: Opened): void {
    const { generation, tail } = opened;
    opened.running = true;
    this.#run(generation, tail.seen, this.#bytesOf(opened), {
      rooted: (bytes) => this.#rooted(opened, bytes),
      ended: () => {
        opened.running = false;
      },
    });
  }

  /** All bytes of a file, when it is decided and written down what its first batch is chained on. */
  async #rooted(opened: Opened, bytes: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
    const { generation, tail } = opened;
    const { roots } = this.#deps;
    const first: Buffer[] = [];
    while (opened.root === undefined) {
      const { value, done } = await bytes.next();
      if (value) first.push(Buffer.from(value));
      if (!done && !hasFirstLine(tail.seen)) continue;
      await roots.decide(this.#path, opened);
    }
    if (opened.root !== roots.common && opened.root !== generation.root) {
      generation.root = opened.root;
      await this.#positions.save();
    }
    return (async function* () {
      yield* first;
      yield* bytes;
    })();
  }

  async *#bytesOf(opened: Opened): AsyncGenerator<Uint8Array> {
    const { generation, tail, wasEmpty } = opened;
    for await (const chunk of tail.read(this.#deps.stop)) {
      // Nothing was known of it until now: it may have been copied and cut off before.
      if (wasEmpty && chunk.length > 0 && tail.seen.length === chunk.length)
        await this.#discover(generation.modified);
      yield chunk;
    }
    if (tail.truncated) {
      yield* this.#restOfCutOff(tail);
      await this.#discover(tail.since);
    }
  }

  #discover(since: number): Promise<void> {
    return this.#around.discover(since).catch(this.#deps.fail);
  }

  /** Reads what a compressed file has beyond what was taken of its generation, and closes it. */
  readRest(generation: Generation, file: FileHandle, { path }: Entry): void {
    const length = generation.marks.at(-1)?.offset ?? 0;
    const seen = new Seen({ length, head: Buffer.alloc(0), recent: Buffer.alloc(0) });
    this.#run(generation, seen, this.#restFrom(file, path, seen), {
      ended: () => void file.close().catch(() => {}),
    });
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
      for (const entry of await this.#around.beside()) {
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

  #run(
    generation: Generation,
    seen: Seen,
    bytes: AsyncIterable<Uint8Array>,
    {
      rooted = async (all) => all,
      ended,
    }: {
      rooted?: (bytes: AsyncGenerator<Uint8Array>) => Promise<AsyncIterable<Uint8Array>>;
      ended: () => void;
    },
  ): void {
    const { stop, fail } = this.#deps;
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
    generation.done = false;
    const base = seen.length;
    const last = generation.marks.at(-1);
    const source = async (): Promise<Source> => {
      const all = await rooted(read());
      return {
        name: this.#path,
        // It may be cut off or deleted before it is read again.
        once: true,
        live: 'told',
        ...(generation.root && { root: generation.root }),
        ...(last && { root: last.key, from: { line: last.line, unfinished: last.unfinished } }),
        read: () => all,
        onTake: (batch) => this.#mark(generation, seen, { ...batch, end: base + batch.end }),
      };
    };
    const running = source()
      .then((begun) => this.#deps.ingest(begun))
      .catch((error: unknown) => (unreadable ? this.#sayOnce(wordsOf(error)) : fail(error)))
      .finally(ended)
      .then(() => {
        generation.done = !unreadable && !stop.aborted;
        return this.#positions.save();
      })
      .catch(fail)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #saySkipped(generation: Generation): void {
    for (const opened of this.opened) {
      if (opened.generation !== generation || !opened.later) continue;
      opened.later = false;
      this.#deps.say(
        `${this.#path} starts with lines that were ingested before, and they are skipped; --allow-duplicates counts them`,
      );
    }
  }

  #sayOnce(words: string): void {
    if (words !== this.#said) this.#deps.say(words);
    this.#said = words;
  }

  /** Writes down a batch that is going to be begun. */
  async #mark(generation: Generation, seen: Seen, batch: TakenBatch): Promise<void> {
    const { end, firstLine, sourceLines, previousKey, key, unfinished, ending } = batch;
    if (batch.known?.committed) this.#saySkipped(generation);
    this.#said = '';
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
    for (const opened of this.opened) if (opened.generation === generation) return opened.tail.since;
    return generation.modified;
  }

  /**
   * Goes on with files that have grown after they were read to their end, and lets go of those that cannot.
   * @param current the one that has the name
   */
  async tidy(current: Opened | undefined): Promise<void> {
    for (const opened of this.opened) {
      const { tail, running } = opened;
      if (running) continue;
      const change = await tail.change();
      const tooMany = this.opened.size > MOST_OPEN && opened !== current;
      if (tail.over || (tail.left && (change === 'gone' || (change === 'none' && tooMany)))) {
        this.opened.delete(opened);
        await tail.close();
      } else if (!tail.left || change === 'grown') this.#ingest(opened);
    }
  }

  /** Waits until what is being ingested is done, and closes the files. */
  async end(): Promise<void> {
    // What is read to its end may find another file to read.
    while (this.#running.size > 0) await Promise.all(this.#running);
    for (const { tail } of this.opened) await tail.close();
  }
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
