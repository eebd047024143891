import { type Scan, scanLines } from '../ingest/scan.ts';
import type { LineOptions } from '../store/store.ts';
import { decoded, withWhole } from './body.ts';
import { Budget, chunkCost } from './budget.ts';
import { Collector } from './collector.ts';
import type { GroupDeps } from './group.ts';
import { assertSameRequest, type RequestKey } from './idempotency.ts';
import type { Outcome } from './outcome.ts';
import { arrayLines, ndjsonLines, oneLine } from './records.ts';
import { refusalIn } from './refusal.ts';
import { Streams } from './stream.ts';
import { Unsettled } from './unsettled.ts';
import { requestKey, type Upload } from './upload.ts';

/** Most records of a JSON array. */
export const MOST_RECORDS = 10_000;
/** Most bytes of a JSON array, decompressed. */
const MOST_ARRAY_BYTES = 32_000_000;
/** Most bytes of a single record. Over the limit of a line it is a dead letter; beyond this it is not read. */
const MOST_RECORD_BYTES = 4_000_000;
/** NDJSON up to this size is written together with that of others; more is a stream. */
const MOST_GROUPED_BYTES = 4_000_000;
/** What was sent and not yet answered, bytes; half of it has room for two streams, or for two arrays. */
const MOST_UNDER_WAY = 192_000_000;

/**
 * Telemetry as requests bring it, with the promises of `infrasage ingest`:
 * every record is stored and metered or is a dead letter, once, and what is
 * returned is durable. One object a store; close it before the store.
 */
export class Telemetry {
  readonly #options: LineOptions;
  readonly #budget = new Budget(MOST_UNDER_WAY);
  readonly #collector: Collector;
  readonly #streams: Streams;
  /** Requests with a key that are under way, by its hash. */
  readonly #keyed = new Map<string, { key: RequestKey; outcome: Promise<Outcome> }>();

  constructor(options: LineOptions, deps: Omit<GroupDeps, 'unsettled'>) {
    this.#options = options;
    const unsettled = new Unsettled(deps.store, deps.now);
    this.#collector = new Collector(options, { ...deps, unsettled });
    this.#streams = new Streams(options, { ...deps, unsettled, budget: this.#budget });
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
      const key = requestKey(upload, 'stream', start.subarray(0, MOST_GROUPED_BYTES));
      return await this.#once(key, () => this.#streams.write(upload, key, start, chunks));
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
    this.#streams.stop();
    await this.#collector.close();
    await this.#streams.ended();
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
}
