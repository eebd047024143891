import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { batchId } from '../store/batch-id.ts';
import type { ProcessIdentity } from '../store/process.ts';
import type { Store } from '../store/store.ts';
import { planRepairs, repair } from '../verify/repair.ts';
import {
  countBatch,
  isWhole,
  type LedgerEntry,
  pendingBatches,
  recordAbort,
  recordCommit,
  removeRows,
} from './ledger.ts';
import { spoolPath } from './spool.ts';
import { beginAttempt, completeAttempt } from './write.ts';

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
  lines: { committed: bigint; aborted: bigint; redone: bigint };
}

export interface RecoveryDeps {
  /** Who recovers: owns what is ingested again. */
  owner: ProcessIdentity;
  now: () => Date;
}

/**
 * Settles every batch that was begun and not finished. The store is open here
 * alone, so whoever began it is gone, or has failed in this process. Whole ones
 * are committed, others are removed from all tables and marked aborted. It
 * may itself be interrupted at any point, and repeated.
 */
export async function recover(store: Store, { owner, now }: RecoveryDeps): Promise<Recovery> {
  const done: Recovery = {
    committed: 0,
    aborted: 0,
    redone: 0,
    setAside: [],
    lines: { committed: 0n, aborted: 0n, redone: 0n },
  };
  const pending = await pendingBatches(store);
  await clearSpool(store, pending);
  for (const entry of pending) {
    // A redo that was interrupted leaves two attempts at one batch: the later one has what there is to settle.
    const overtaken = pending.some((other) => other.key === entry.key && other.attempt > entry.attempt);
    const outcome = overtaken
      ? await abort(store, entry, now)
      : await settle(store, entry, { owner, now, setAside: done.setAside });
    done[outcome] += 1;
    done.lines[outcome] += BigInt(entry.lines);
  }
  return done;
}

/** What recovery did, in one line; empty where there was nothing to do. */
export function recoveryWords({ committed, aborted, redone, setAside, lines }: Recovery): string {
  const parts = [
    ...(committed > 0 ? [`${committed} found whole and committed (${lines.committed} lines)`] : []),
    ...(redone > 0 ? [`${redone} ingested again from the spool (${lines.redone} lines)`] : []),
    ...setAside.map((path) => `one that was never whole is set aside in ${path}`),
    ...(aborted > 0 ? [`${aborted} removed (${lines.aborted} lines; ingest the same input again)`] : []),
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
  entry: LedgerEntry,
  { owner, now, setAside }: RecoveryDeps & { setAside: string[] },
): Promise<'committed' | 'aborted' | 'redone'> {
  const found = await countBatch(store, entry);
  if (!isRolledUp(entry, now()) && isWhole(entry, found)) {
    await recordCommit(store, entry, found, now());
    return 'committed';
  }
  const spooled = spoolPath(store.spoolDir, entry.batchId);
  if (!entry.once || !(await isIntact(spooled, entry))) return abort(store, entry, now);
  if (entry.attempt > MOST_ATTEMPTS) {
    const aside = `${spooled}.set-aside`;
    await rename(spooled, aside);
    setAside.push(aside);
    return abort(store, entry, now);
  }
  await remove(store, entry, now());
  const again = { ...entry, attempt: entry.attempt + 1, owner, receivedAt: now() };
  // The lines have two names, and the intent of the next attempt stands before this one is closed:
  // at no moment would a crash leave them without a pending batch that has a spool file.
  const path = spoolPath(store.spoolDir, batchId(again.key, again.attempt));
  await link(spooled, path).catch(ignoreExisting);
  const begun = await beginAttempt(store, again, now);
  await recordAbort(store, entry, now());
  await completeAttempt(store, begun, { path, now });
  for (const name of [spooled, path]) await rm(name, { force: true });
  return 'redone';
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

/** Attempts after which a batch that is ingested from its spool file is no longer tried: it would block all others. */
const MOST_ATTEMPTS = 3;

/** Metering rows lose their batch after seven days; with a day to spare. */
const ROLL_UP_MS = 6 * 24 * 3_600_000;

function isRolledUp({ receivedAt }: LedgerEntry, now: Date): boolean {
  return now.getTime() - receivedAt.getTime() > ROLL_UP_MS;
}

/** Removes the rows of a batch; where its metering is no longer told apart from others', that is made anew. */
async function remove(store: Store, entry: LedgerEntry, now: Date): Promise<void> {
  await removeRows(store, entry);
  if (isRolledUp(entry, now)) await repair(store, await planRepairs(store), now);
}

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

/** A spool file's name; nothing else in the folder is touched. */
const SPOOLED = /^[0-9a-f]{64}#\d+\.ndjson$/;

/** Removes what nobody will read from the spool, first of all: the space may be needed. */
async function clearSpool(store: Store, pending: readonly LedgerEntry[]): Promise<void> {
  const needed = new Set(
    pending.filter((entry) => entry.once).map((entry) => basename(spoolPath(store.spoolDir, entry.batchId))),
  );
  for (const name of await readdir(store.spoolDir)) {
    if (SPOOLED.test(name) && !needed.has(name)) await rm(join(store.spoolDir, name), { force: true });
  }
}
