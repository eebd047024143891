import { createHash } from 'node:crypto';
import { InfrasageError } from '../errors.ts';
import { assertClock } from '../ingest/clock.ts';
import { ingest } from '../ingest/ingest.ts';
import type { LineOptions } from '../store/store.ts';
import type { Budget } from './budget.ts';
import type { GroupDeps } from './group.ts';
import { assertSameRequest, keptUnlooked, knownKeys, type RequestKey, recordKeys } from './idempotency.ts';
import { committedLines, type Outcome, outcomeOfChain, type Piece } from './outcome.ts';
import { failureOf, Refusal, refusalIn } from './refusal.ts';
import type { Upload } from './upload.ts';

/** Input of one batch of a stream, bytes. A stream has a buffer of that size, and its batch may be in memory twice. */
const STREAM_BATCH_BYTES = 16_000_000;
/** A batch is closed when its first byte is this old, ms. */
const STREAM_FLUSH_MS = 1_000;
/** What streams are called as a source. */
const STREAM_SOURCE = 'http stream';
/** Failures that the answer to a stream lists; all are in the dead letters. */
export const MOST_STREAM_FAILURES = 1_000;

export interface StreamDeps extends GroupDeps {
  budget: Budget;
}

/** Bodies that are too long to be held: each is written in batches while it comes, as a source of its own. */
export class Streams {
  readonly #options: LineOptions;
  readonly #deps: StreamDeps;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();

  constructor(options: LineOptions, deps: StreamDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Writes a body to its end, or as far as it comes, by whole lines.
   * @param start what was read of it, and `rest` what comes after
   * @throws Refusal, or another InfrasageError where it could not be written to its end; both say what is stored
   */
  async write(
    upload: Upload,
    key: RequestKey | undefined,
    start: Buffer,
    rest: AsyncIterable<Uint8Array>,
  ): Promise<Outcome> {
    const { budget } = this.#deps;
    budget.take(upload.sender.id, 2 * STREAM_BATCH_BYTES);
    const writing = this.#ingest(upload, key, start, rest);
    this.#underWay.add(writing);
    try {
      return await writing;
    } finally {
      this.#underWay.delete(writing);
      budget.give(upload.sender.id, 2 * STREAM_BATCH_BYTES);
    }
  }

  /** Tells them to end, each at its last whole line. */
  stop(): void {
    this.#stop.abort();
  }

  /** Returns when those that are under way are answered. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #ingest(
    { sender, mayGoOn = async () => true }: Upload,
    key: RequestKey | undefined,
    start: Buffer,
    rest: AsyncIterable<Uint8Array>,
  ): Promise<Outcome> {
    const { store, now, unsettled } = this.#deps;
    const batches: Piece[] = [];
    const root = await this.#rootOf(key).catch((error: unknown) => {
      throw failureOf(error).withKept(keptUnlooked(key));
    });
    let whole = false;
    const source = {
      name: STREAM_SOURCE,
      once: true,
      root,
      boundTo: sender.tenant,
      ended: () => whole,
      async *read(stop?: AbortSignal) {
        yield start;
        for await (const chunk of until(rest, stop)) {
          if (!(await mayGoOn())) throw new Refusal('revoked', 'the API key was revoked meanwhile');
          yield chunk;
        }
        whole = !stop?.aborted;
      },
    };
    const options = {
      ...this.#options,
      dryRun: false,
      allowDuplicates: false,
      batchBytes: STREAM_BATCH_BYTES,
      flushMs: STREAM_FLUSH_MS,
    };
    try {
      await ingest([source], options, {
        store,
        now,
        stop: this.#stop.signal,
        onBatch: ({ previousKey, key: batchKey, firstLine, sourceLines, lines }) =>
          batches.push({ previousKey, key: batchKey, firstLine, sourceLines, lines }),
        onUnsettled: (entry, held) => unsettled.add(entry, held),
      });
      if (this.#stop.signal.aborted) throw stopping();
    } catch (error) {
      throw brokenOff(failureOf(error), await this.#storedOf(batches), key);
    }
    return outcomeOfChain(store, batches, MOST_STREAM_FAILURES);
  }

  /** Records of a stream that are stored, once what failed of it is settled; undefined where that is not known yet. */
  async #storedOf(batches: readonly Piece[]): Promise<number | undefined> {
    const { store, unsettled } = this.#deps;
    try {
      await unsettled.settle();
      return await committedLines(store, batches);
    } catch {
      return undefined;
    }
  }

  /**
   * The root of a stream's chain: with it, the ledger recognises what it has of
   * the same stream. Of a key, the one recorded with it; otherwise a new one.
   */
  async #rootOf(key: RequestKey | undefined): Promise<string> {
    const { store, now, id, unsettled } = this.#deps;
    await assertClock(store, now, 'nothing of it is stored');
    await unsettled.settle();
    const before = key && (await knownKeys(store, [key.hash], now())).get(key.hash);
    if (key && before) {
      assertSameRequest(key, before);
      return before.previousKey;
    }
    const root = createHash('sha256').update(`infrasage stream 1\n${id()}`).digest('hex');
    if (key) {
      const where = { previousKey: root, key: '', firstLine: 1, sourceLines: 0, lines: 0 };
      await recordKeys(store, [{ ...key, ...where }], now());
    }
    return root;
  }
}

function stopping(): Refusal {
  return new Refusal('busy', 'the server is stopping', { hint: 'send it again later' });
}

/** Why a stream was not taken to its end, with what is stored of it. */
function brokenOff(
  error: InfrasageError,
  stored: number | undefined,
  key: RequestKey | undefined,
): InfrasageError {
  const count = stored ?? 'it is not known yet how many';
  const again = key ? '; with the same Idempotency-Key, a retry does not count them again' : '';
  // Of an earlier request with the same key something may be.
  const nothing = key ? 'nothing more of it is stored' : 'nothing of it is stored';
  const kept = stored === 0 ? nothing : `${count} of its records are stored${again}`;
  const refusal = refusalIn(error);
  if (refusal) return refusal.withKept(kept);
  const { message, hint, exitStatus, cause } = error;
  return new InfrasageError(message, { kept, hint, exitStatus, cause });
}

/** Chunks up to the moment of a signal, also where one is waited for. */
async function* until(
  chunks: AsyncIterable<Uint8Array>,
  stop: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const next = () =>
    new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
      const end = () => resolve(undefined);
      stop?.addEventListener('abort', end, { once: true });
      iterator
        .next()
        .then(resolve, reject)
        .finally(() => stop?.removeEventListener('abort', end));
    });
  for (;;) {
    const result = stop?.aborted ? undefined : await next();
    if (!result || result.done) return;
    yield result.value;
  }
}
