import { z } from 'zod';
import { pendingBatches } from '../ingest/ledger.ts';
import { type LetterFilter, letterCondition, REPLAYED } from '../reports/dead-letters.ts';
import { withRows } from '../store/row-lock.ts';
import { type Store, sqlTime, uint64 } from '../store/store.ts';
import { DEAD_LETTERS } from './lock.ts';

/** Dead letters that are to go, replayed or not. */
export interface Purge extends Pick<LetterFilter, 'tenantId' | 'error' | 'source'> {
  /** Those that were received before. */
  before: Date;
}

/** Letters of one cause that a purge removes. */
export interface PurgedCause {
  error: string;
  letters: bigint;
  /** Of these, those that were replayed. */
  replayed: bigint;
}

/** What a purge would remove, most letters first. */
export function planPurge(store: Store, purge: Purge): Promise<PurgedCause[]> {
  const { where, params } = condition(purge);
  return store.query(
    `SELECT toString(d.error) AS error, count() AS letters, countIf((toString(d.batch_id), d.line) IN (${REPLAYED})) AS replayed
    FROM {{db}}.infrasage_dlq AS d WHERE ${where} GROUP BY error ORDER BY letters DESC, error`,
    causeRow,
    params,
  );
}

/**
 * Removes dead letters, and writes down how many of which cause. That comes first: a purge that was interrupted has
 * removed all letters of a batch, cause and tenant or none, which is how verify can tell, and is done by asking again.
 * Batches wait only while it is written down; what they write meanwhile stays, however old it is.
 * @param purgeId that nobody else has
 * @returns what was removed
 * @throws InfrasageError (exit 3)
 */
export function purgeLetters(
  store: Store,
  purge: Purge,
  { purgeId, now }: { purgeId: string; now: () => Date },
): Promise<PurgedCause[]> {
  return store.exclusively(DEAD_LETTERS, async () => {
    const named = { purge: purgeId };
    await withRows(store, 'exclusive', () => recordPurge(store, purge, { purgeId, at: now() }));
    const removed = await store.query(
      `SELECT toString(error) AS error, sum(p.letters) AS letters, sum(p.replayed) AS replayed
      FROM {{db}}.infrasage_dlq_purges AS p FINAL WHERE purge_id = {purge:String} AND revision = 1
      GROUP BY error ORDER BY letters DESC, error`,
      causeRow,
      named,
    );
    if (removed.length === 0) return removed;
    const rows = condition(purge, '');
    // Of batches that are written down alone: others may write letters of that age by now.
    await store.mutate(
      `ALTER TABLE {{db}}.infrasage_dlq DELETE WHERE ${rows.where} AND batch_id IN (
        SELECT p.batch_id FROM {{db}}.infrasage_dlq_purges AS p WHERE p.purge_id = {purge:String})`,
      { ...rows.params, ...named },
    );
    const done = `SELECT purge_id, 2, batch_id, error, tenant_id, letters, replayed, received_before, recorded_at
      FROM {{db}}.infrasage_dlq_purges WHERE purge_id = {purge:String} AND revision = 1`;
    await store.insertSelected({ ...PURGES, select: done }, named);
    return removed;
  });
}

/** Writes down which letters are to go: those of batches that are settled, whose letters do not change any more. */
async function recordPurge(
  store: Store,
  purge: Purge,
  { purgeId, at }: { purgeId: string; at: Date },
): Promise<void> {
  // The letters of a batch that is open are counted when it is settled.
  const open = (await pendingBatches(store)).map(({ batchId }) => batchId);
  const { where, params } = condition(purge);
  const select = `SELECT {purge:String}, 1, toString(d.batch_id), d.error, d.tenant_id, count(),
      countIf((toString(d.batch_id), d.line) IN (${REPLAYED})),
      toDateTime64({before:String}, 3, 'UTC'), toDateTime64({at:String}, 3, 'UTC')
    FROM {{db}}.infrasage_dlq AS d WHERE ${where} AND d.batch_id NOT IN {open:Array(String)}
    GROUP BY d.batch_id, d.error, d.tenant_id`;
  const bound = { ...params, purge: purgeId, at: sqlTime(at), before: sqlTime(purge.before), open };
  await store.insertSelected({ ...PURGES, select }, bound);
}

const PURGES = {
  table: 'infrasage_dlq_purges',
  columns: [
    ...['purge_id', 'revision', 'batch_id', 'error', 'tenant_id', 'letters', 'replayed'],
    ...['received_before', 'recorded_at'],
  ],
};

const causeRow = z.object({ error: z.string(), letters: uint64, replayed: uint64 });

function condition({ before, ...filter }: Purge, name = 'd.') {
  return letterCondition({ ...filter, since: null, until: before, state: null }, { name });
}
