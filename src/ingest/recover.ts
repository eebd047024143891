import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { plural } from '../render/text.ts';
import type { Store } from '../store/store.ts';
import { beginAgain, completeBatch, mayBeRolledUp, remove } from './again.ts';
import { type Claim, type Place, placeId, tryClaim } from './claim.ts';
import {
  committedKeys,
  type LedgerEntry,
  ownerIn,
  pendingBatches,
  recordAbort,
  recordCommit,
} from './ledger.ts';
import { spooledAs, spoolPath } from './spool.ts';
import { countBatch, hasRows, isWhole } from './stored-rows.ts';

/** What recovery did with the batches of processes that are gone. */
export interface Recovery {
  /** All their rows were there: committed as they are. */
  committed: number;
  /** Some rows were missing: removed, to be ingested anew with their input. */
  aborted: number;
  /** Removed, and ingested again from the spool, since standard input cannot be read again. */
  redone: number;
  /** Spool files that were ingested again twice and were never whole: kept, and no longer tried. */
  setAside: string[];
  /** Where the lines of those are that were left: nobody but a process there can ingest them again. */
  elsewhere: string[];
  lines: { committed: bigint; aborted: bigint; redone: bigint };
}

export interface RecoveryDeps {
  now: () => Date;
  /** Whether batches whose lines are elsewhere are given up. */
  abandon?: boolean;
}

/**
 * Settles every batch that was begun, is not finished, and that nobody is at:
 * a batch whose place is claimed is under way, here or in another process, and
 * left alone. Whole ones are committed, others are removed from all tables and
 * marked aborted. It may itself be interrupted at any point, and repeated; of
 * two at once, each batch is settled by one.
 */
export async function recover(store: Store, deps: RecoveryDeps): Promise<Recovery> {
  const done: Recovery = {
    committed: 0,
    aborted: 0,
    redone: 0,
    setAside: [],
    elsewhere: [],
    lines: { committed: 0n, aborted: 0n, redone: 0n },
  };
  const pending = await pendingBatches(store);
  await clearSpool(store);
  for (const [id, place] of new Map(pending.map((entry) => [placeId(entry), entry]))) {
    const claim = await tryClaim(store, id);
    if (!claim) continue;
    try {
      await settlePlace(store, claim, place, { ...deps, done });
    } finally {
      await claim.release();
    }
  }
  return done;
}

/**
 * Settles the pending batches at a place that is claimed, so that a new attempt may begin there.
 * @param deps.redo whether what cannot be read again is ingested again from its spool file; else it is removed, as
 *   where its senders wait for an answer, and send it again themselves
 * @param deps.done is added to
 */
export async function settlePlace(
  store: Store,
  claim: Claim,
  { previousKey, head }: Place,
  { redo = true, done, ...deps }: RecoveryDeps & { redo?: boolean; done?: Recovery },
): Promise<void> {
  // Read under the claim: whoever had it may have settled them.
  const pending = await pendingBatches(store, { previousKey, head });
  if (pending.length === 0) return;
  const committed = await committedKeys(store, pending);
  for (const entry of pending) {
    // A redo that was interrupted leaves two attempts at one batch: the later one has what there is to settle. One that
    // was left where its lines are may have been ingested elsewhere since.
    const overtaken =
      committed.has(entry.key) ||
      pending.some((other) => other.key === entry.key && other.attempt > entry.attempt);
    if (overtaken) await store.stopBatch(entry.batchId);
    const outcome = overtaken
      ? await abort(store, entry, deps.now)
      : await settle(store, claim, entry, { ...deps, redo, setAside: done?.setAside ?? [] });
    if (!done) continue;
    if (outcome === 'elsewhere') {
      done.elsewhere.push(placeOf(entry));
      continue;
    }
    done[outcome] += 1;
    done.lines[outcome] += BigInt(entry.lines);
  }
}

/** What recovery did, in one line; empty where there was nothing to do. */
export function recoveryWords({ committed, aborted, redone, setAside, elsewhere, lines }: Recovery): string {
  const parts = [
    ...(committed > 0 ? [`${committed} found whole and committed (${plural(lines.committed, 'line')})`] : []),
    ...(redone > 0 ? [`${redone} ingested again from the spool (${plural(lines.redone, 'line')})`] : []),
    ...setAside.map((path) => `one that was never whole is set aside in ${path}`),
    ...elsewhere.map((where) => `one is left to be recovered where its lines are: on ${where}`),
    ...(aborted > 0
      ? [`${aborted} removed (${plural(lines.aborted, 'line')}; run the same command again)`]
      : []),
  ];
  return parts.length === 0 ? '' : `recovered the batches of an interrupted run: ${parts.join(', ')}`;
}

async function abort(store: Store, entry: LedgerEntry, now: () => Date): Promise<'aborted'> {
  await remove(store, entry, now());
  await recordAbort(store, entry, now());
  return 'aborted';
}

async function settle(
  store: Store,
  claim: Claim,
  entry: LedgerEntry,
  { now, abandon = false, redo, setAside }: RecoveryDeps & { redo: boolean; setAside: string[] },
): Promise<'committed' | 'aborted' | 'redone' | 'elsewhere'> {
  await store.stopBatch(entry.batchId);
  const found = await countBatch(store, entry);
  if (isWhole(entry, found) && !(await mayBeRolledUp(store, entry, now()))) {
    await recordCommit(store, entry, found, now());
    return 'committed';
  }
  const spooled = spoolPath(store.spoolDir, entry);
  if (redo && !abandon && isElsewhere(store, entry, spooled)) {
    if (hasRows(found)) await remove(store, entry, now());
    return 'elsewhere';
  }
  if (!redo || !entry.once || !(await isIntact(spooled, entry))) return abort(store, entry, now);
  if (entry.attempt > MOST_ATTEMPTS) {
    const aside = `${spooled}.set-aside`;
    await rename(spooled, aside);
    setAside.push(aside);
    return abort(store, entry, now);
  }
  const attempt = { entry, path: spooled };
  await beginAgain(store, claim, attempt, now);
  await completeBatch(store, claim, attempt, now);
  await rm(attempt.path, { force: true });
  return 'redone';
}

/** Whether the lines of a batch can be ingested again, but from the spool folder of another process alone. */
function isElsewhere(store: Store, { once, owner }: LedgerEntry, spooled: string): boolean {
  if (!store.manyHosts || !once || existsSync(spooled)) return false;
  const here = ownerIn(store);
  return owner.host !== here.host || owner.spool !== here.spool;
}

function placeOf({ owner }: LedgerEntry): string {
  return `host ${owner.host}, in ${owner.spool ?? 'its spool folder'}`;
}

/** Attempts after which a batch that is ingested from its spool file is no longer tried: it would block all others. */
const MOST_ATTEMPTS = 3;

/** Whether a spool file holds what was read: after a power failure it may not. */
async function isIntact(path: string, entry: LedgerEntry): Promise<boolean> {
  const hash = createHash('sha256').update(entry.previousKey);
  let length = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      length += chunk.length;
    }
  } catch {
    return false;
  }
  if (length !== entry.spooled) return false;
  // Where lines were cut, the file is not the input itself; its length must do.
  return entry.spooled !== entry.bytes || entry.cut.length > 0 || hash.digest('hex') === entry.key;
}

/** Removes what nobody will read from the spool, first of all: the space may be needed. */
async function clearSpool(store: Store): Promise<void> {
  for (const name of await readdir(store.spoolDir)) {
    const spooled = spooledAs(name);
    const claim = spooled && (await tryClaim(store, spooled.place));
    if (!claim) continue;
    try {
      const pending = (await pendingBatches(store)).find(({ batchId }) => batchId === spooled.batchId);
      if (!pending?.once) await rm(join(store.spoolDir, name), { force: true });
    } finally {
      await claim.release();
    }
  }
}
