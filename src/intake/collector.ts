import { InfrasageError } from '../errors.ts';
import type { LineOptions } from '../store/store.ts';
import { type GroupDeps, type Submission, writeGroup } from './group.ts';
import { keptUnlooked } from './idempotency.ts';
import type { Outcome } from './outcome.ts';
import { failureOf, Refusal } from './refusal.ts';

/** Longest that records wait for others to be written with, unless all writers are busy. */
export const GROUP_MS = 200;
/**
 * While no group is under way, one begins once as many requests came as were in the last one, and then nothing for this
 * long. Senders that wait for their answers send again at about the same moment: a fixed time from the first of them
 * took a few and left the others to wait.
 */
const QUIET_MS = 10;

/**
 * A group of this size is written as soon as a writer is free: much smaller
 * ones would cost the fixed time of a statement too often (see BATCH_BYTES).
 */
const ENOUGH_BYTES = 16_000_000;
const MOST_BYTES = 32_000_000;
const MOST_LINES = 200_000;
/** Tenants and lines over the limit are listed in the statement that writes a group. */
const MOST_TENANTS = 500;
const MOST_TENANT_BYTES = 48_000;
const MOST_CUT = 1_000;
const MOST_REQUESTS = 10_000;
/** The keys of a group are recorded in one statement, of about 1 kB each. */
const MOST_KEYED = 2_000;

interface Waiting extends Submission {
  bytes: number;
  /** When it came, in the clock of performance.now(). */
  since: number;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/**
 * Collects the records of requests into groups, and answers each request when
 * its group is committed. A group begins when its first record has waited for
 * GROUP_MS, or sooner where no more are likely to come or there is enough for
 * one, as soon as a writer is free; so many small requests make few parts, and
 * large ones do not wait.
 */
export class Collector {
  readonly #options: LineOptions;
  readonly #deps: GroupDeps;
  readonly #underWay = new Set<Promise<void>>();
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** When the last record came or the last group ended. */
  #lastChange = 0;
  /** Requests of the group that began last. */
  #lastSize = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: LineOptions, deps: GroupDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * What became of the records; resolves when they are durable.
   * @throws InfrasageError that says whether anything is stored
   */
  add(submission: Submission): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new Refusal('busy', 'the server is stopping', { hint: 'send it again later' });
      const bytes = submission.scan.pieces.reduce((sum, piece) => sum + piece.length, 0);
      const since = performance.now();
      this.#queue.push({ ...submission, bytes, since, resolve, reject });
      this.#lastChange = since;
      this.#queuedBytes += bytes;
      this.#schedule();
    });
  }

  /** Takes no more, and returns when all that was taken is answered. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#schedule();
    while (this.#underWay.size > 0) await Promise.race(this.#underWay);
  }

  /** Begins the groups that are due. */
  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#underWay.size < this.#deps.store.parallelism) {
      const [first] = this.#queue;
      if (!first) return;
      const latest = first.since + GROUP_MS;
      const allCame = this.#underWay.size === 0 && this.#queue.length >= this.#lastSize;
      const due = allCame ? Math.min(this.#lastChange + QUIET_MS, latest) : latest;
      const wait = due - performance.now();
      if (wait > 0 && this.#queuedBytes < ENOUGH_BYTES && !this.#closed) {
        // What has come by now and is not read yet is read first.
        this.#timer = setTimeout(() => setImmediate(() => this.#schedule()), wait);
        return;
      }
      this.#begin(this.#take());
    }
  }

  /** The next requests of the queue, as many as make a group. */
  #take(): Waiting[] {
    let bytes = 0;
    let lines = 0;
    let cut = 0;
    let keyed = 0;
    let tenantBytes = 0;
    const tenants = new Set<string | null>();
    let taken = 0;
    for (const { bytes: size, scan, boundTo, key } of this.#queue) {
      bytes += size;
      lines += scan.sourceLines;
      cut += scan.cut.length;
      if (key) keyed += 1;
      if (!tenants.has(boundTo)) tenantBytes += Buffer.byteLength(boundTo ?? '');
      tenants.add(boundTo);
      const full =
        bytes > MOST_BYTES ||
        lines > MOST_LINES ||
        cut > MOST_CUT ||
        keyed > MOST_KEYED ||
        tenants.size > MOST_TENANTS ||
        tenantBytes > MOST_TENANT_BYTES ||
        taken >= MOST_REQUESTS;
      if (full && taken > 0) break;
      taken += 1;
    }
    const group = this.#queue.slice(0, taken);
    this.#queue = this.#queue.slice(taken);
    for (const { bytes: size } of group) this.#queuedBytes -= size;
    return group;
  }

  #begin(group: readonly Waiting[]): void {
    this.#lastSize = group.length;
    const writing = this.#write(group).finally(() => {
      this.#underWay.delete(writing);
      this.#lastChange = performance.now();
      this.#schedule();
    });
    this.#underWay.add(writing);
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    let results: Map<Waiting, Outcome | InfrasageError>;
    try {
      results = await writeGroup(group, this.#options, this.#deps);
    } catch (error) {
      for (const { reject, key } of group) reject(failureOf(error).withKept(keptUnlooked(key)));
      return;
    }
    for (const [{ resolve, reject }, result] of results) {
      if (result instanceof InfrasageError) reject(result.withKept('nothing of it is stored'));
      else resolve(result);
    }
  }
}
