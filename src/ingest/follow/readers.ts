import type { FileHandle } from 'node:fs/promises';
import { AROUND_MS, compare, type Entry, openAs, restOf, seenBy } from './copies.ts';
import type { Opened } from './opened.ts';
import type { Generation, Positions } from './positions.ts';
import { hasFirstLine, type Roots } from './roots.ts';
import { Seen } from './seen.ts';
import { type SourceDeps, Sources } from './sources.ts';
import { Tail } from './tail.ts';
import type { Ticker } from './ticker.ts';

export interface ReaderDeps extends SourceDeps {
  ticker: Ticker;
  roots: Roots;
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

/** Reads the files that a followed name has stood for, each as a source of its own, and writes down how far. */
export class Readers {
  readonly #path: string;
  readonly #positions: Positions;
  readonly #deps: ReaderDeps;
  readonly #around: Surroundings;
  readonly opened = new Set<Opened>();
  readonly #sources: Sources;

  /** @param path what their sources are called */
  constructor(path: string, positions: Positions, deps: ReaderDeps, around: Surroundings) {
    this.#path = path;
    this.#positions = positions;
    this.#deps = deps;
    this.#around = around;
    this.#sources = new Sources(path, positions, deps);
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
    this.#sources.run(generation, tail.seen, this.#bytesOf(opened), {
      rooted: (bytes) => this.#rooted(opened, bytes),
      modified: () => tail.since,
      known: () => this.#saySkipped(opened),
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
    this.#sources.run(generation, seen, this.#restFrom(file, path, seen), {
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
      // A copy that has no more may be an older one, of what another has.
      let read = false;
      for (const entry of await this.#around.beside()) {
        const file = await openAs(entry);
        if (!file) continue;
        try {
          const is = await compare(file, entry, known);
          read ||= is === 'read';
          if (is === 'longer') return yield* this.#restFrom(file, entry.path, seen);
        } finally {
          await file.close();
        }
      }
      if (read) return;
      await this.#deps.ticker.next();
    }
  }

  #saySkipped(opened: Opened): void {
    if (!opened.later) return;
    opened.later = false;
    this.#deps.say(
      `${this.#path} starts with lines that were ingested before, and they are skipped; --allow-duplicates counts them`,
    );
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
    await this.#sources.ended();
    for (const { tail } of this.opened) await tail.close();
  }
}
