import { z } from 'zod';
import { REPLAY_HEAD, shortId } from '../store/batch-id.ts';
import { withRows } from '../store/row-lock.ts';
import { type Params, type Store, uint64 } from '../store/store.ts';
import { keptSinceParam, rawKeptSince } from './retention.ts';

/** One thing that was compared. */
export interface Check {
  name: 'batches' | 'metering' | 'strays' | 'projection' | 'replays';
  /** What was held against what, for people. */
  compared: string;
  /** Rows that were read for it. */
  rows: bigint;
  /** Figures that were compared: batches, or groups of tenant, hour and type. */
  groups: bigint;
  differences: bigint;
}

/** One figure that does not hold. */
export interface Difference {
  check: Check['name'];
  /** The batch, or the tenant, hour and type. */
  where: string;
  what: string;
  expected: bigint;
  found: bigint;
}

export interface Verification {
  checks: Check[];
  /** Up to LISTED of them a check. */
  differences: Difference[];
  /** Rows that others have written to the firehose: they have no batch, and are metered like all. */
  foreignRows: bigint;
  /** Batches under way or left by a run that was interrupted: not compared. */
  pendingBatches: bigint;
  /** Where raw rows have a term: what was ingested before is not compared, since its raw rows may be gone. */
  keptSince: Date | null;
}

/** Differences listed of each check; all are counted. */
export const LISTED = 100;

/**
 * Proves the figures from the stored rows. Reads everything; changes nothing.
 * A batch that is written meanwhile may look like a difference: where there is
 * one, everything is compared once more while batches wait.
 * @param options.onStep called before each check
 */
export async function verify(
  store: Store,
  { onStep }: { onStep?: (step: Step) => void } = {},
): Promise<Verification> {
  const found = await compareAll(store, onStep);
  if (found.checks.every((check) => check.differences === 0n)) return found;
  return withRows(store, 'exclusive', () => compareAll(store, onStep));
}

/** A check that begins, and how many there are. */
export interface Step {
  name: Check['name'];
  /** From 0. */
  index: number;
  of: number;
}

async function compareAll(store: Store, onStep?: (step: Step) => void): Promise<Verification> {
  const keptSince = await rawKeptSince(store);
  const checks: [Check['name'], () => Promise<Result>][] = [
    ['batches', () => checkBatches(store, keptSince)],
    ['metering', () => checkMetering(store, keptSince)],
    ['strays', () => checkStrays(store)],
    ['projection', () => checkProjection(store)],
    ['replays', () => checkReplays(store, keptSince)],
  ];
  const results: Result[] = [];
  for (const [index, [name, check]] of checks.entries()) {
    onStep?.({ name, index, of: checks.length });
    results.push(await check());
  }
  const [others] = await store.query(
    `SELECT (SELECT count() FROM {{db}}.infrasage_raw_firehose WHERE batch_id = '') AS foreign_rows,
      (SELECT count() FROM {{db}}.infrasage_ingest_batches FINAL WHERE state = 'pending') AS pending`,
    z.object({ foreign_rows: uint64, pending: uint64 }),
  );
  return {
    checks: results.map(({ check }) => check),
    differences: results.flatMap(({ differences }) => differences),
    foreignRows: others?.foreign_rows ?? 0n,
    pendingBatches: others?.pending ?? 0n,
    keptSince,
  };
}

interface Result {
  check: Check;
  differences: Difference[];
}

const differenceRow = z.object({ where: z.string(), what: z.string(), expected: uint64, found: uint64 });

/**
 * Runs one check.
 * @param compared a SELECT of the figures held against each other, one row a group, with the columns
 *   where, rows, and pairs: an Array(Tuple(what String, expected UInt64, found UInt64))
 */
async function compare(
  store: Store,
  name: Check['name'],
  words: string,
  compared: string,
  params: Params = {},
): Promise<Result> {
  const [sums] = await store.query(
    `SELECT sum(c.rows) AS rows, count() AS groups,
      sum(arrayCount(pair -> pair.2 != pair.3, c.pairs)) AS differences FROM (${compared}) AS c`,
    z.object({ rows: uint64, groups: uint64, differences: uint64 }),
    params,
  );
  const check = { name, compared: words, rows: 0n, groups: 0n, differences: 0n, ...sums };
  if (check.differences === 0n) return { check, differences: [] };
  const rows = await store.query(
    `SELECT c.where AS where, pair.1 AS what, pair.2 AS expected, pair.3 AS found
    FROM (${compared}) AS c ARRAY JOIN c.pairs AS pair
    WHERE expected != found ORDER BY where, what LIMIT ${LISTED}`,
    differenceRow,
    params,
  );
  return { check, differences: rows.map((row) => ({ check: name, ...row })) };
}

/** The time before which raw rows may be gone, bound as keptSinceParam. */
const KEPT_SINCE = `toDateTime64({kept_since:String}, 3, 'UTC')`;

/**
 * The dead letters of each batch, those among them that were purged too. These are written down before they are
 * removed, a batch, cause and tenant at a time, and go together: what is there says whether they are still to go.
 */
const LETTERS_OF_BATCHES = `SELECT id, sum(there) AS present, sum(if(there > 0, there, gone)) AS letters
  FROM (
    SELECT id, error, tenant, max(present) AS there, max(purged) AS gone FROM (
      SELECT toString(batch_id) AS id, toString(error) AS error, toString(tenant_id) AS tenant, count() AS present, toUInt64(0) AS purged
      FROM {{db}}.infrasage_dlq GROUP BY id, error, tenant
      UNION ALL
      SELECT batch_id, toString(error), toString(tenant_id), toUInt64(0), letters FROM {{db}}.infrasage_dlq_purges
    ) GROUP BY id, error, tenant
  ) GROUP BY id`;

/** Per committed batch: the ledger's figures are those of the stored rows. */
function checkBatches(store: Store, keptSince: Date | null): Promise<Result> {
  return compare(
    store,
    'batches',
    'each batch: lines = accepted + rejected, and the rows it has in the firehose and the dead letters',
    `SELECT concat('batch ', ${shortId('b.batch_id')}, ' of ', b.source) AS where, f.events + d.present AS rows,
      [('lines (accepted + rejected)', b.lines, b.accepted + b.rejected),
       ('events in the firehose', b.accepted, f.events),
       ('dead letters', b.rejected, d.letters),
       ('bytes received', b.bytes_received, f.received),
       ('bytes ingested', b.bytes_ingested, f.ingested)] AS pairs
    FROM (SELECT * FROM {{db}}.infrasage_ingest_batches FINAL
      WHERE state = 'committed' AND received_at >= ${KEPT_SINCE}) AS b
    LEFT JOIN (SELECT toString(batch_id) AS id, count() AS events, sum(bytes_received) AS received, sum(bytes_ingested) AS ingested
      FROM {{db}}.infrasage_raw_firehose GROUP BY id) AS f ON f.id = b.batch_id
    LEFT JOIN (${LETTERS_OF_BATCHES}) AS d ON d.id = b.batch_id`,
    { kept_since: keptSinceParam(keptSince) },
  );
}

/**
 * Per tenant, hour and type: the metering says what the firehose holds. Left out are hours with what was
 * ingested before kept_since (a parameter), and months of which no raw row is kept: their metering is all there is.
 */
export const METERING_PAIRS = `SELECT toString(tenant) AS tenant, hour, toString(type) AS type,
    sum(f_events) AS events, sum(m_events) AS metered, sum(f_received) AS received, sum(m_received) AS metered_received,
    sum(f_ingested) AS ingested, sum(m_ingested) AS metered_ingested
  FROM (
    SELECT tenant_id AS tenant, toStartOfHour(timestamp) AS hour, event_type AS type, count() AS f_events,
      sum(bytes_received) AS f_received, sum(bytes_ingested) AS f_ingested,
      toUInt64(0) AS m_events, toUInt64(0) AS m_received, toUInt64(0) AS m_ingested, min(ingested_at) AS since
    FROM {{db}}.infrasage_raw_firehose GROUP BY tenant, hour, type
    UNION ALL
    SELECT tenant_id, hour, event_type, 0, 0, 0, sum(event_count), sum(bytes_received), sum(bytes_ingested), min(ingested_from)
    FROM {{db}}.infrasage_usage_metering GROUP BY tenant_id, hour, event_type
  ) GROUP BY tenant, hour, type
  HAVING min(since) >= ${KEPT_SINCE}
    AND toString(toYYYYMM(hour)) IN (SELECT DISTINCT _partition_id FROM {{db}}.infrasage_raw_firehose)`;

function checkMetering(store: Store, keptSince: Date | null): Promise<Result> {
  return compare(
    store,
    'metering',
    'each tenant, hour and type: metering = firehose, in events and bytes',
    `SELECT concat(tenant, ' ', formatDateTime(hour, '%Y-%m-%dT%H:00:00Z'), ' ', type) AS where, events AS rows,
      [('events', events, metered), ('bytes received', received, metered_received), ('bytes ingested', ingested, metered_ingested)] AS pairs
    FROM (${METERING_PAIRS})`,
    { kept_since: keptSinceParam(keptSince) },
  );
}

/** No table has rows of a batch that was aborted, or that the ledger does not know. */
function checkStrays(store: Store): Promise<Result> {
  return compare(
    store,
    'strays',
    'no rows of an aborted or unknown batch in the firehose, the metering and the dead letters',
    `SELECT concat(if(b.state = '', 'unknown', b.state), ' batch ', ${shortId('r.id')}) AS where, r.n AS rows,
      [(concat('rows in ', r.place), toUInt64(0), if(b.state IN ('committed', 'pending'), 0, r.n))] AS pairs
    FROM (
      SELECT toString(batch_id) AS id, 'the firehose' AS place, count() AS n FROM {{db}}.infrasage_raw_firehose WHERE batch_id != '' GROUP BY id
      UNION ALL
      SELECT toString(batch_id) AS id, 'the metering', count() FROM {{db}}.infrasage_usage_metering WHERE batch_id != '' GROUP BY id
      UNION ALL
      SELECT toString(batch_id) AS id, 'the dead letters', count() FROM {{db}}.infrasage_dlq GROUP BY id
    ) AS r
    LEFT JOIN (SELECT batch_id, toString(state) AS state FROM {{db}}.infrasage_ingest_batches FINAL) AS b ON b.batch_id = r.id`,
  );
}

/**
 * No dead letter was counted twice: each that was sent again is in one committed batch, each line of such a batch is
 * one letter, and the events of the batch are those that its letters became.
 */
function checkReplays(store: Store, keptSince: Date | null): Promise<Result> {
  const batches = `SELECT * FROM {{db}}.infrasage_ingest_batches FINAL WHERE state = 'committed' AND head = '${REPLAY_HEAD}'`;
  const digest = (row: string) =>
    `sum(cityHash64(toString(${row}.tenant_id), toString(${row}.event_type), toString(${row}.service_id), ${row}.timestamp, ${row}.bytes_received))`;
  return compare(
    store,
    'replays',
    'each dead letter that was replayed: in one batch, as one event, which is in the firehose',
    `SELECT concat('dead letter ', ${shortId('l.letter_batch')}, '-', toString(l.letter_line)) AS where, toUInt64(1) AS rows,
      [('batches that it counts in', toUInt64(1), uniqExact(l.key))] AS pairs
    FROM {{db}}.infrasage_dlq_replays AS l WHERE l.key IN (SELECT key FROM (${batches}))
    GROUP BY l.letter_batch, l.letter_line
    UNION ALL
    SELECT concat('batch ', ${shortId('b.batch_id')}, ' of ', b.source) AS where, b.lines AS rows,
      [('dead letters in it', b.lines, l.letters), ('lines of dead letters', b.lines, l.lines),
       ('digest of its events', if(compared, l.digest, 0), if(compared, f.digest, 0))] AS pairs
    FROM (SELECT *, rejected = 0 AND received_at >= ${KEPT_SINCE} AS compared FROM (${batches})) AS b
    LEFT JOIN (SELECT r.key AS id, uniqExact((r.letter_batch, r.letter_line)) AS letters, uniqExact(r.line) AS lines, ${digest('r')} AS digest
      FROM (SELECT * FROM {{db}}.infrasage_dlq_replays FINAL) AS r GROUP BY id) AS l ON l.id = b.key
    LEFT JOIN (SELECT toString(e.batch_id) AS id, ${digest('e')} AS digest FROM {{db}}.infrasage_raw_firehose AS e
      WHERE e.batch_id IN (SELECT batch_id FROM (${batches})) GROUP BY id) AS f ON f.id = b.batch_id`,
    { kept_since: keptSinceParam(keptSince) },
  );
}

/** What the services report reads is what the rows say. */
function checkProjection(store: Store): Promise<Result> {
  const figures = (forced: 0 | 1) => `SELECT count() AS groups, sum(g.events) AS events,
      sum(cityHash64(g.tenant, g.service, g.type, g.hour, g.events, g.ingested, g.received)) AS digest
    FROM (SELECT tenant_id AS tenant, service_id AS service, event_type AS type, toStartOfHour(timestamp) AS hour,
        count() AS events, sum(bytes_ingested) AS ingested, sum(bytes_received) AS received
      FROM {{db}}.infrasage_raw_firehose GROUP BY tenant, service, type, hour
      SETTINGS optimize_use_projections = ${forced}) AS g`;
  return compare(
    store,
    'projection',
    'each tenant, service, type and hour: the projection behind the services report = firehose',
    `SELECT 'all groups' AS where, r.events AS rows,
      [('events', r.events, p.events), ('groups', r.groups, p.groups), ('digest of all figures', r.digest, p.digest)] AS pairs
    FROM (${figures(0)}) AS r, (${figures(1)}) AS p`,
  );
}
