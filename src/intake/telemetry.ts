import { createHash } from 'node:crypto';
import { InfrasageError } from '../errors.ts';
import { ingest } from '../ingest/ingest.ts';
import { type Scan, scanLines } from '../ingest/scan.ts';
import type { LineOptions, Store } from '../store/store.ts';
import { decoded, withWhole } from './body.ts';
import { Budget, chunkCost } from './budget.ts';
import { Collector } from './collector.ts';
import {
  assertSameRequest,
  fingerprintOf,
  keptUnlooked,
  keyHash,
  knownKeys,
  type RequestKey,
  recordKeys,
} from './idempotency.ts';
import { committedLines, type Outcome, outcomeOfChain, type Piece } from './outcome.ts';
import { arrayLines, ndjsonLines, oneLine } from './records.ts';
import { failureOf, Refusal } from './refusal.ts';
import { Unsettled } from './unsettled.ts';

/** Most records of a JSON array. */
export const MOST_RECORDS = 10_000;
/** Most bytes of a JSON array, decompressed. */
const MOST_ARRAY_BYTES = 32_000_000;
/** Most bytes of a single record. Over the limit of a line it is a dead letter; beyond this it is not read. */
const MOST_RECORD_BYTES = 4_000_000;
/** NDJSON up to this size is written together with that of others; more is a stream. */
const MOST_GROUPED_BYTES = 4_000_000;
/** Input of one batch of a stream, bytes. A stream has a buffer of that size, and its batch may be in memory twice. */
const STREAM_BATCH_BYTES = 16_000_000;
const STREAM_FLUSH_MS = 1_000;
/** What streams are called as a source. */
const STREAM_SOURCE = 'http stream';
/** Failures that the answer to a stream lists; all are in the dead letters. */
export const MOST_STREAM_FAILURES = 1_000;
/** What was sent and not yet answered, bytes; half of it has room for two streams, or for two arrays. */
const MOST_UNDER_WAY = 192_000_000;

/** Who sends, as their credentials say. */
export interface Sender {
  /** Tells senders apart: idempotency keys are each sender's own. */
  id: string;
  /** The tenant of all they send; null for one that may send any tenant's events. */
  tenant: string | null;
}

/** A request's body, and what its headers say of it. */
export interface Upload {
  sender: Sender;
  body: AsyncIterable<Uint8Array>;
  /** The Content-Encoding header. */
  encoding?: string | undefined;
  /** The Idempotency-Key header. */
  key?: string | undefined;
  /** Called where the body turns out to be a stream, which may take any time. */
  onStream?: () => void;
  /** Whether the sender may still send; asked while a stream goes on. */
  mayGoOn?: () => Promise<boolean>;
}

export interface TelemetryDeps {
  store: Store;
  now: () => Date;
  /** An id that nobody else has. */
  id: () => string;
}

/**
 * Telemetry as requests bring it, with the promises of `infrasage ingest`:
 * every record is stored and metered or is a dead letter, once, and what is
 * returned is durable. One object a store; close it before the store.
 */
export class Telemetry {
  readonly #options: LineOptions;
  readonly #deps: TelemetryDeps;
  readonly #budget = new Budget(MOST_UNDER_WAY);
  readonly #unsettled: Unsettled;
  readonly #collector: Collector;
  /** Requests with a key that are under way, by its hash. */
  readonly #keyed = new Map<string, { key: RequestKey; outcome: Promise<Outcome> }>();
  readonly #streams = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();

  constructor(options: LineOptions, deps: TelemetryDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#unsettled = new Unsettled(deps.store, deps.now);
    this.#collector = new Collector(options, { ...deps, unsettled: this.#unsettled });
  }

  /**
   * A body that is one record.
   * @throws Refusal, or another InfrasageError where it could not be written
   */
  async one(upload: Upload): Promise<Outcome> {
    return this.#whole(upload, 'record', MOST_RECORD_BYTES, oneLine);
  }

  /**
   * A body that is a JSON array of at most MOST_RECORDS records.
   * @throws Refusal, or another InfrasageError where it could not be written
   */
  async array(upload: Upload): Promise<Outcome> {
    return this.#whole(upload, 'array', MOST_ARRAY_BYTES, (body) => arrayLines(body, MOST_RECORDS).lines);
  }

  /**
   * A body of one record a line, without limit. Up to MOST_GROUPED_BYTES and
   * MOST_RECORDS lines it is all or nothing; a longer one is written in
   * batches while it comes, and of one that breaks off, what was committed by
   * then stays, as whole lines.
   * @throws Refusal, or another InfrasageError where it could not be written to its end; both say what is stored
   */
  async ndjson(upload: Upload): Promise<Outcome> {
    const chunks = decoded(upload.body, upload.encoding);
    const { sender, onStream } = upload;
    const head: Uint8Array[] = [];
    let length = 0;
    let taken = 0;
    let ended = false;
    try {
      while (length <= MOST_GROUPED_BYTES) {
        const next = await chunks.next();
        if (next.done) {
          ended = true;
          break;
        }
        const cost = chunkCost(next.value);
        this.#budget.take(sender.id, cost);
        taken += cost;
        length += next.value.length;
        head.push(next.value);
      }
      const start = Buffer.concat(head, length);
      head.length = 0;
      const scan = ended ? this.#scan(ndjsonLines(start)) : undefined;
      if (scan && scan.sourceLines <= MOST_RECORDS) {
        return await this.#group(upload, 'ndjson', start, () => scan);
      }
      onStream?.();
      return await this.#stream(upload, start, chunks);
    } catch (error) {
      throw refusalIn(error) ?? error;
    } finally {
      this.#budget.give(sender.id, taken);
      // Not waited for: behind a chunk that does not come, it would not end.
      void chunks.return(undefined).catch(() => {});
    }
  }

  /** Takes no more; returns when what is under way is answered. A stream ends at its last whole line. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#collector.close();
    await Promise.allSettled(this.#streams);
  }

  async #whole(
    upload: Upload,
    kind: string,
    most: number,
    toLines: (body: Buffer) => Buffer,
  ): Promise<Outcome> {
    const chunks = decoded(upload.body, upload.encoding);
    try {
      return await withWhole(chunks, { most, budget: this.#budget, sender: upload.sender.id }, (body) =>
        this.#group(upload, kind, body, () => this.#scan(toLines(body))),
      );
    } catch (error) {
      throw refusalIn(error) ?? error;
    }
  }

  #scan(lines: Buffer) {
    return scanLines(lines, 1, this.#options.maxLine);
  }

  /** @param scanOf the lines of the body, which making them may change */
  #group(upload: Upload, kind: string, body: Buffer, scanOf: () => Scan): Promise<Outcome> {
    const key = requestKey(upload, kind, body);
    const scan = scanOf();
    if (scan.lines === 0) return Promise.resolve({ queued: 0, failed: 0, failures: [] });
    return this.#once(key, () => this.#collector.add({ scan, boundTo: upload.sender.tenant, key }));
  }

  /** Runs work, or waits for the same request that is under way. */
  async #once(key: RequestKey | undefined, work: () => Promise<Outcome>): Promise<Outcome> {
    if (!key) return work();
    const before = this.#keyed.get(key.hash);
    if (before) {
      assertSameRequest(key, before.key);
      return before.outcome;
    }
    const outcome = work().finally(() => this.#keyed.delete(key.hash));
    this.#keyed.set(key.hash, { key, outcome });
    return outcome;
  }

  async #stream(upload: Upload, start: Buffer, rest: AsyncIterable<Uint8Array>): Promise<Outcome> {
    const key = requestKey(upload, 'stream', start.subarray(0, MOST_GROUPED_BYTES));
    return this.#once(key, async () => {
      this.#budget.take(upload.sender.id, 2 * STREAM_BATCH_BYTES);
      const streaming = this.#ingest(upload, key, start, rest);
      this.#streams.add(streaming);
      try {
        return await streaming;
      } finally {
        this.#streams.delete(streaming);
        this.#budget.give(upload.sender.id, 2 * STREAM_BATCH_BYTES);
      }
    });
  }

  async #ingest(
    { sender, mayGoOn = async () => true }: Upload,
    key: RequestKey | undefined,
    start: Buffer,
    rest: AsyncIterable<Uint8Array>,
  ): Promise<Outcome> {
    const { store, now } = this.#deps;
    const batches: Piece[] = [];
    const root = await this.#rootOf(key).catch((error: unknown) => {
      throw failureOf(error).withKept(keptUnlooked(key));
    });
    const source = {
      name: STREAM_SOURCE,
      once: true,
      root,
      boundTo: sender.tenant,
      async *read(stop?: AbortSignal) {
        yield start;
        for await (const chunk of until(rest, stop)) {
          if (!(await mayGoOn())) throw new Refusal('revoked', 'the API key was revoked meanwhile');
          yield chunk;
        }
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
        onUnsettled: (entry, held) => this.#unsettled.add(entry, held),
      });
      if (this.#stop.signal.aborted) throw stopping();
    } catch (error) {
      throw brokenOff(failureOf(error), await this.#storedOf(batches), key);
    }
    return outcomeOfChain(store, batches, MOST_STREAM_FAILURES);
  }

  /** Records of a stream that are stored, once what failed of it is settled; undefined where that is not known yet. */
  async #storedOf(batches: readonly Piece[]): Promise<number | undefined> {
    try {
      await this.#unsettled.settle();
      return await committedLines(this.#deps.store, batches);
    } catch {
      return undefined;
    }
  }

  /**
   * The root of a stream's chain: with it, the ledger recognises what it has of
   * the same stream. Of a key, the one recorded with it; otherwise a new one.
   */
  async #rootOf(key: RequestKey | undefined): Promise<string> {
    const { store, now, id } = this.#deps;
    await this.#unsettled.settle();
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

function requestKey({ sender, key }: Upload, kind: string, body: Uint8Array): RequestKey | undefined {
  if (key === undefined) return undefined;
  return { hash: keyHash(sender.id, key), fingerprint: fingerprintOf(kind, body) };
}

function stopping(): Refusal {
  return new Refusal('busy', 'the server is stopping', { hint: 'send it again later' });
}

/** A refusal that came through the layers between as the cause of another error. */
function refusalIn(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  return error instanceof InfrasageError && error.cause instanceof Refusal ? error.cause : undefined;
}

/** Why a stream was not taken to its end, with what is stored of it. */
function brokenOff(
  error: InfrasageError,
  stored: number | undefined,
  key: RequestKey | undefined,
): InfrasageError {
  const count = stored ?? 'it is not known yet how many';
  const again = key ? '; with the same Idempotency-Key, a retry does not count them again' : '';
  const kept = stored === 0 ? 'nothing of it is stored' : `${count} of its records are stored${again}`;
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
