import { InfrasageError } from '../../errors.ts';
import type { Source, TakenBatch } from '../source.ts';
import { fingerprintOf, type Generation, HEAD_BYTES, type Positions } from './positions.ts';
import type { Seen } from './seen.ts';

export interface SourceDeps {
  stop: AbortSignal;
  /** Ingests a source; returns when it has ended and what was taken of it is committed. */
  ingest(source: Source): Promise<void>;
  /** Says something to the operator. */
  say(text: string): void;
  /** Told of what it cannot go on for; everything is stopped then. */
  fail(error: unknown): void;
}

/** What happens around a source of ingest. */
interface Surrounds {
  /** Decides what its first batch is chained on, with the bytes it must see for that; gives back all of them. */
  rooted?(bytes: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>>;
  /** Its generation was last changed then, ms; asked with each batch. */
  modified?(): number;
  /** Told of each batch that was ingested before. */
  known?(): void;
  ended(): void;
}

/** The generations of a followed name as sources of ingest: each batch is written down before it is begun. */
export class Sources {
  readonly #name: string;
  readonly #positions: Positions;
  readonly #deps: SourceDeps;
  readonly #running = new Set<Promise<void>>();
  /** What was last said of why a file cannot be read. */
  #said = '';

  /** @param name what they are called */
  constructor(name: string, positions: Positions, deps: SourceDeps) {
    this.#name = name;
    this.#positions = positions;
    this.#deps = deps;
  }

  /**
   * Begins to ingest bytes of a generation, from after what is written down of it on. What cannot be read does not end
   * the others; what cannot be ingested does.
   * @param seen what was read of it; grows as the bytes come
   */
  run(
    generation: Generation,
    seen: Seen,
    bytes: AsyncIterable<Uint8Array>,
    { rooted = async (all) => all, ended, ...told }: Surrounds,
  ): void {
    const { stop, fail } = this.#deps;
    const name = this.#name;
    /** Why it cannot be read any further. */
    let unreadable: InfrasageError | undefined;
    const read = async function* () {
      try {
        yield* bytes;
      } catch (error) {
        unreadable =
          error instanceof InfrasageError
            ? error
            : new InfrasageError(`${name} cannot be read any further: ${wordsOf(error)}`, { cause: error });
        throw unreadable;
      }
    };
    generation.done = false;
    const base = seen.length;
    const last = generation.marks.at(-1);
    const source = async (): Promise<Source> => {
      const all = await rooted(read());
      return {
        name,
        // It may be cut off or deleted before it is read again.
        once: true,
        live: 'told',
        ...(generation.root && { root: generation.root }),
        ...(last && { root: last.key, from: { line: last.line, unfinished: last.unfinished } }),
        read: () => all,
        onTake: (batch) => this.#mark(generation, seen, { ...batch, end: base + batch.end }, told),
      };
    };
    const running = source()
      .then((begun) => this.#deps.ingest(begun))
      // What was read before may fail to be ingested.
      .catch((error: unknown) =>
        unreadable && isOf(error, unreadable) ? this.#sayOnce(wordsOf(error)) : fail(error),
      )
      .finally(ended)
      .then(() => {
        generation.done = !unreadable && !stop.aborted;
        return this.#positions.save();
      })
      .catch(fail)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #sayOnce(words: string): void {
    if (words !== this.#said) this.#deps.say(words);
    this.#said = words;
  }

  /** Writes down a batch that is going to be begun. */
  async #mark(
    generation: Generation,
    seen: Seen,
    batch: TakenBatch,
    { modified, known }: Pick<Surrounds, 'modified' | 'known'>,
  ): Promise<void> {
    const { end, firstLine, sourceLines, previousKey, key, unfinished, ending } = batch;
    if (batch.known?.committed) known?.();
    this.#said = '';
    generation.head ??= fingerprintOf(seen.head(Math.min(HEAD_BYTES, end)));
    if (modified) generation.modified = modified();
    await this.#positions.mark(generation, {
      offset: end,
      line: firstLine + sourceLines,
      previousKey,
      key,
      unfinished,
      ending: fingerprintOf(ending),
    });
  }

  /** Waits until what is being ingested is done. */
  async ended(): Promise<void> {
    // What is read to its end may find another file to read.
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}

/** Whether an error is another one, or says that and what was kept. */
function isOf(error: unknown, other: InfrasageError): boolean {
  return error === other || (error instanceof InfrasageError && error.cause === (other.cause ?? other));
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
