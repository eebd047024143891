import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { InfrasageError } from '../errors.ts';
import { completeBatch } from '../ingest/again.ts';
import { claim } from '../ingest/claim.ts';
import { assertClock } from '../ingest/clock.ts';
import { type LedgerEntry, ownerIn, pendingBatches } from '../ingest/ledger.ts';
import { settlePlace } from '../ingest/recover.ts';
import { spool } from '../ingest/spool.ts';
import type { BatchTotals } from '../ingest/stored-rows.ts';
import { beginAttempt } from '../ingest/write.ts';
import { lettersBetween, type PageSize } from '../reports/letter-pages.ts';
import { batchId, REPLAY_HEAD } from '../store/batch-id.ts';
import { type Binding, type Store, sqlTime, uint64 } from '../store/store.ts';
import { type Link, recordLinks } from './links.ts';
import { DEAD_LETTERS } from './lock.ts';
import {
  type BillChange,
  compare,
  openLetters,
  type PlannedPage,
  planReplay,
  type ReplayPlan,
  type Resent,
  resend,
  type Wanted,
} from './plan.ts';

export interface ReplayDeps {
  store: Store;
  now: () => Date;
  /** An id that nobody else has. */
  id: () => string;
  /** Called with what is going to change, before anything does. */
  onPlan: (plan: ReplayPlan) => Promise<void>;
  /** Called with the letters that were judged, then with those that were sent and which part of all that is. */
  onProgress?: (letters: bigint, part?: number) => void;
  /** Ends the run early, after the page under way. */
  stop?: AbortSignal;
  /** Letters of a batch, at most. */
  page?: PageSize;
}

/** What the bill of a tenant's month has got more of one type. */
export interface BilledChange extends BillChange {
  /** Compressed bytes. */
  bytesIngested: bigint;
}

export interface ReplayResult {
  plan: ReplayPlan;
  /** Letters that have become events. */
  accepted: bigint;
  /** Letters that were rejected again: each has a second copy, which is open in its place. */
  rejected: bigint;
  bytesReceived: bigint;
  bytesIngested: bigint;
  /** What was metered, from the metering. */
  bill: BilledChange[];
  batchIds: string[];
}

/** What replayed letters are called as a source; their line numbers are those of the batch. */
const REPLAY_SOURCE = 'dlq replay';

/** Every line ends like this: of each the engine takes one CR, so that one that is the line's own stays. */
const ENDING = Buffer.from('\r\n');

/**
 * Sends open dead letters through the pipeline again, a page at a time, each a batch of the ledger. A letter is
 * taken by the first batch that is committed with it, and by no other: one replay runs at a time, it settles what
 * others have left before it looks which letters are open, and which letters a batch takes is durable before the
 * batch is begun.
 * @throws InfrasageError (exit 3) that says what was kept
 */
export function replay(wanted: Wanted, deps: ReplayDeps): Promise<ReplayResult> {
  const { store, now } = deps;
  return store.exclusively(DEAD_LETTERS, async () => {
    await assertClock(store, now, 'no letter is replayed');
    await settleReplays(store, now);
    const judgedAt = now();
    const plan = await planReplay(store, wanted, judgedAt, deps);
    if (!deps.stop?.aborted) await deps.onPlan(plan);
    const run = new Run(wanted, { plan, judgedAt }, deps);
    try {
      for (const page of plan.pages) {
        if (deps.stop?.aborted) break;
        await run.send(page);
      }
      return await run.result();
    } catch (error) {
      throw error instanceof InfrasageError ? error.withKept(run.kept()) : error;
    }
  });
}

/** Sees to it that no replay is open: until then it is not known whether its letters are taken. */
async function settleReplays(store: Store, now: () => Date): Promise<void> {
  for (const entry of await pendingBatches(store)) {
    if (entry.head !== REPLAY_HEAD) continue;
    const held = await claim(store, entry);
    try {
      await settlePlace(store, held, entry, { now });
    } finally {
      await held.release();
    }
  }
}

class Run {
  readonly #wanted: Wanted;
  readonly #plan: ReplayPlan;
  readonly #deps: ReplayDeps;
  /** The moment of the plan: a letter that passed then does so again. */
  readonly #judgedAt: Date;
  readonly #entries: LedgerEntry[] = [];
  readonly #totals = { accepted: 0n, rejected: 0n, bytesReceived: 0n, bytesIngested: 0n };

  constructor(wanted: Wanted, { plan, judgedAt }: { plan: ReplayPlan; judgedAt: Date }, deps: ReplayDeps) {
    this.#wanted = wanted;
    this.#plan = plan;
    this.#judgedAt = judgedAt;
    this.#deps = deps;
  }

  /** Sends the letters of a page that pass: a batch for all of the same options. */
  async send(page: PlannedPage): Promise<void> {
    const { store, onProgress } = this.#deps;
    const groups = new Map<string, Resent[]>();
    for (const letter of await lettersBetween(store, openLetters(this.#wanted), page)) {
      if (!page.passing.get(letter.batchId)?.has(letter.line)) continue;
      const resent = resend(letter, this.#wanted, this.#judgedAt);
      if (typeof resent === 'string') continue;
      const { options, boundTo } = resent.origin;
      const alike = JSON.stringify([options, boundTo !== null]);
      const group = groups.get(alike) ?? [];
      groups.set(alike, group);
      group.push(resent);
    }
    for (const group of groups.values()) {
      this.#add(await this.#write(group));
      const sent = this.#totals.accepted + this.#totals.rejected;
      onProgress?.(sent, Number(sent) / Number(this.#plan.passing));
    }
  }

  async #write(group: readonly Resent[]): Promise<BatchTotals> {
    const { store, now } = this.#deps;
    const { entry, pieces, links } = layOut(group, this.#deps);
    const held = await claim(store, entry);
    try {
      const attempt = { entry, path: await spool(store.spoolDir, entry, pieces) };
      try {
        await recordLinks(store, entry, links, { changes: this.#wanted.changes, now: now() });
        attempt.entry = await beginAttempt(store, held, entry, now);
        const totals = await completeBatch(store, held, attempt, now);
        this.#entries.push(attempt.entry);
        return totals;
      } finally {
        // The letters are still there: nobody needs the file any more.
        await rm(attempt.path, { force: true });
      }
    } finally {
      await held.release();
    }
  }

  #add({ accepted, rejected, bytesReceived, bytesIngested }: BatchTotals): void {
    this.#totals.accepted += accepted;
    this.#totals.rejected += rejected;
    this.#totals.bytesReceived += bytesReceived;
    this.#totals.bytesIngested += bytesIngested;
  }

  async result(): Promise<ReplayResult> {
    return {
      plan: this.#plan,
      ...this.#totals,
      bill: await billedOf(this.#deps.store, this.#entries),
      batchIds: this.#entries.map((entry) => entry.batchId),
    };
  }

  /** What the run leaves behind, one sentence. */
  kept(): string {
    const { accepted, rejected } = this.#totals;
    if (accepted + rejected === 0n)
      return 'no letter is replayed for certain, and what was begun is settled by the next command';
    return `${accepted + rejected} letters are replayed and safe, and the same command goes on after them`;
  }
}

/** One batch of letters whose lines are judged alike, those that are bound to a tenant together. */
function layOut(
  group: readonly Resent[],
  { store, now, id }: ReplayDeps,
): { entry: LedgerEntry; pieces: Buffer[]; links: Link[] } {
  // Nothing comes before it: a chain of its own.
  const previousKey = createHash('sha256').update(`infrasage replay 1\n${id()}`).digest('hex');
  const hash = createHash('sha256').update(previousKey);
  const byTenant = [...group].sort((a, b) => compare(a.origin.boundTo ?? '', b.origin.boundTo ?? ''));
  const pieces: Buffer[] = [];
  const bindings: Binding[] = [];
  const links: Link[] = [];
  for (const [i, { letter, line, origin, event }] of byTenant.entries()) {
    if (origin.boundTo !== null && bindings.at(-1)?.tenant !== origin.boundTo) {
      bindings.push({ line: i + 1, tenant: origin.boundTo });
    }
    pieces.push(line, ENDING);
    hash.update(line).update(ENDING);
    links.push({ letter, line: i + 1, event, bytes: line.length });
  }
  const [first] = byTenant;
  if (!first) throw new RangeError('a batch of no letters');
  const key = hash.digest('hex');
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const entry: LedgerEntry = {
    batchId: batchId(key, 1),
    key,
    previousKey,
    head: REPLAY_HEAD,
    attempt: 1,
    source: REPLAY_SOURCE,
    // The letters can be read again: what is not whole after a kill is removed, and they are open as before.
    once: false,
    spooled: bytes,
    bytes,
    firstLine: 1,
    sourceLines: group.length,
    lines: group.length,
    crlf: true,
    blank: false,
    cut: [],
    owner: ownerIn(store),
    options: first.origin.options,
    bindings,
    receivedAt: now(),
  };
  return { entry, pieces, links };
}

/** What committed batches have added to the metering. */
async function billedOf(store: Store, entries: readonly LedgerEntry[]): Promise<BilledChange[]> {
  if (entries.length === 0) return [];
  const times = entries.map(({ receivedAt }) => receivedAt.getTime());
  return store.query(
    `SELECT toString(m.tenant_id) AS tenant, formatDateTime(m.hour, '%Y-%m') AS month, toString(m.event_type) AS type,
      sum(m.event_count) AS events, sum(m.bytes_received) AS received, sum(m.bytes_ingested) AS ingested
    FROM {{db}}.infrasage_usage_metering AS m
    WHERE m.batch_id IN {batches:Array(String)}
      AND m.ingested_at >= toDateTime64({from:String}, 3, 'UTC') AND m.ingested_at <= toDateTime64({to:String}, 3, 'UTC')
    GROUP BY tenant, month, type ORDER BY tenant, month, type`,
    billedRow,
    {
      batches: entries.map((entry) => entry.batchId),
      from: sqlTime(new Date(Math.min(...times))),
      to: sqlTime(new Date(Math.max(...times))),
    },
  );
}

const billedRow = z
  .object({
    tenant: z.string(),
    month: z.string(),
    type: z.string(),
    events: uint64,
    received: uint64,
    ingested: uint64,
  })
  .transform(
    (row): BilledChange => ({
      tenantId: row.tenant,
      month: row.month,
      eventType: row.type,
      events: row.events,
      bytesReceived: row.received,
      bytesIngested: row.ingested,
    }),
  );
