import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { InfrasageError } from '../errors.ts';
import { type Attempt, completeBatch } from '../ingest/again.ts';
import { type Claim, claim } from '../ingest/claim.ts';
import { assertClock } from '../ingest/clock.ts';
import { type LedgerEntry, ownerIn } from '../ingest/ledger.ts';
import type { Scan } from '../ingest/scan.ts';
import { spool } from '../ingest/spool.ts';
import { beginAttempt } from '../ingest/write.ts';
import { batchId } from '../store/batch-id.ts';
import type { Binding, LineOptions, Store } from '../store/store.ts';
import { assertSameRequest, knownKeys, type RequestKey, recordKeys } from './idempotency.ts';
import { committedAttempts, type Outcome, outcomesOf, type Piece } from './outcome.ts';
import { failureOf } from './refusal.ts';
import type { Unsettled } from './unsettled.ts';

/** The records of one request. */
export interface Submission {
  /** Its lines, numbered from 1. */
  scan: Scan;
  /** The tenant they are bound to; null for none. */
  boundTo: string | null;
  key: RequestKey | undefined;
}

export interface GroupDeps {
  store: Store;
  now: () => Date;
  /** An id that nobody else has. */
  id: () => string;
  unsettled: Unsettled;
}

/** What a group is called as a source; its line numbers are those of the group. */
const GROUP_SOURCE = 'http';

/**
 * Writes the records of several requests as one batch, and says what became of
 * each: an outcome once it is committed and durable, or the error. A request
 * whose key is known is not written again; its outcome is that of the first
 * time.
 * @throws InfrasageError where nothing was begun, and it is not known which keys came before
 */
export async function writeGroup<S extends Submission>(
  submissions: readonly S[],
  options: LineOptions,
  deps: GroupDeps,
): Promise<Map<S, Outcome | InfrasageError>> {
  const results = new Map<S, Outcome | InfrasageError>();
  // What failed before may hold the very requests that are sent again now.
  await deps.unsettled.settle();
  for (const [submission, outcome] of await replay(submissions, deps)) results.set(submission, outcome);
  const fresh = submissions.filter((submission) => !results.has(submission));
  if (fresh.length > 0) {
    const group = layOut(fresh, options, deps);
    // Those that were answered already are stored, whatever becomes of the others.
    const outcomes = await write(group, deps).catch(failureOf);
    for (const [i, { submission }] of group.members.entries()) {
      const outcome = outcomes instanceof InfrasageError ? outcomes : outcomes[i];
      if (outcome) results.set(submission, outcome);
    }
  }
  return results;
}

/** The outcomes of those whose key is known. */
async function replay<S extends Submission>(
  submissions: readonly S[],
  { store, now }: GroupDeps,
): Promise<Map<S, Outcome | InfrasageError>> {
  const results = new Map<S, Outcome | InfrasageError>();
  const hashes = submissions.flatMap(({ key }) => key?.hash ?? []);
  const known = await knownKeys(store, hashes, now());
  const byBatch = new Map<string, { submission: S; piece: Piece; rejected: number }[]>();
  for (const submission of submissions) {
    const before = submission.key && known.get(submission.key.hash);
    if (!submission.key || !before) continue;
    try {
      assertSameRequest(submission.key, before);
    } catch (error) {
      results.set(submission, error as InfrasageError);
      continue;
    }
    const members = byBatch.get(before.batchId) ?? [];
    members.push({ submission, piece: before, rejected: before.rejected });
    byBatch.set(before.batchId, members);
  }
  for (const [id, members] of byBatch) {
    const batch = { batchId: id, rejected: members[0]?.rejected ?? 0 };
    const pieces = members.map((member) => member.piece);
    const outcomes = await outcomesOf(store, batch, pieces).catch(failureOf);
    for (const [i, { submission }] of members.entries()) {
      const outcome = outcomes instanceof InfrasageError ? outcomes : outcomes[i];
      if (outcome) results.set(submission, outcome);
    }
  }
  return results;
}

interface Group<S> {
  entry: LedgerEntry;
  pieces: Uint8Array[];
  members: { submission: S; piece: Piece }[];
}

/** One batch of the lines of all of them, those of a tenant together. */
function layOut<S extends Submission>(
  submissions: readonly S[],
  options: LineOptions,
  { store, now, id }: GroupDeps,
): Group<S> {
  // Nothing comes before a group: each is a chain of its own.
  const previousKey = createHash('sha256').update(`infrasage group 1\n${id()}`).digest('hex');
  const hash = createHash('sha256').update(previousKey);
  const byTenant = [...submissions].sort((a, b) => compare(a.boundTo ?? '', b.boundTo ?? ''));
  const pieces: Uint8Array[] = [];
  const bindings: Binding[] = [];
  const cut: LedgerEntry['cut'] = [];
  const members: Group<S>['members'] = [];
  let firstLine = 1;
  let lines = 0;
  let crlf = false;
  let blank = false;
  for (const submission of byTenant) {
    const { scan, boundTo } = submission;
    if (bindings.length === 0 || bindings.at(-1)?.tenant !== boundTo) {
      bindings.push({ line: firstLine, tenant: boundTo });
    }
    for (const piece of scan.pieces) {
      hash.update(piece);
      pieces.push(piece);
    }
    for (const { line, length } of scan.cut) cut.push({ line: firstLine - 1 + line, length });
    crlf ||= scan.crlf;
    blank ||= scan.blank;
    const { sourceLines } = scan;
    members.push({
      submission,
      piece: { previousKey, key: '', firstLine, sourceLines, lines: scan.lines },
    });
    firstLine += sourceLines;
    lines += scan.lines;
  }
  const key = hash.digest('hex');
  for (const { piece } of members) piece.key = key;
  const spooled = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const entry: LedgerEntry = {
    batchId: batchId(key, 1),
    key,
    previousKey,
    head: '',
    attempt: 1,
    source: GROUP_SOURCE,
    once: true,
    spooled,
    bytes: spooled,
    firstLine: 1,
    sourceLines: firstLine - 1,
    lines,
    crlf,
    blank,
    cut,
    owner: ownerIn(store),
    options,
    bindings,
    receivedAt: now(),
  };
  return { entry, pieces, members };
}

/**
 * The outcome of each member, once the batch is committed.
 * @throws InfrasageError (exit 3) that says whether anything is stored
 */
async function write<S extends Submission>(
  { entry, pieces, members }: Group<S>,
  { store, now, unsettled }: GroupDeps,
): Promise<Outcome[]> {
  await assertClock(store, now, 'nothing of it is stored');
  const held = await claim(store, entry);
  let committed: Committed;
  let begun = false;
  try {
    const path = await spool(store.spoolDir, entry, pieces);
    try {
      const keys = members.flatMap(({ submission, piece }) =>
        submission.key ? [{ ...submission.key, ...piece }] : [],
      );
      await recordKeys(store, keys, now());
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    begun = true;
    committed = await complete({ entry, path }, held, { store, now, unsettled });
  } finally {
    if (!begun) await held.release();
  }
  return outcomesOf(
    store,
    committed,
    members.map(({ piece }) => piece),
  );
}

/** A committed batch, as its outcomes are read. */
interface Committed {
  batchId: string;
  /** Its rejected lines. */
  rejected: number;
}

/**
 * Writes a spooled batch, and lets go of its place once it is settled. Where that fails and all its rows are there after
 * all, it is committed too.
 */
async function complete(
  attempt: Attempt,
  held: Claim,
  { store, now, unsettled }: Omit<GroupDeps, 'id'>,
): Promise<Committed> {
  try {
    await beginAttempt(store, held, attempt.entry, now);
    const { rejected } = await completeBatch(store, held, attempt, now);
    // It is committed: a file that stays is for recovery to remove.
    await rm(attempt.path, { force: true }).catch(() => {});
    await held.release();
    return { batchId: attempt.entry.batchId, rejected: Number(rejected) };
  } catch (failure) {
    unsettled.add(attempt.entry, held);
    const error = failureOf(failure);
    let stored: Committed | undefined;
    try {
      await unsettled.settle();
      stored = (await committedAttempts(store, [attempt.entry])).get(attempt.entry.key);
    } catch {
      throw error.withKept(
        'it is not known yet whether they are stored; with an Idempotency-Key, a retry counts once',
      );
    }
    if (!stored) throw error.withKept('nothing of it is stored');
    return stored;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
