import { z } from 'zod';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import type { TypeQuantities } from './figures.ts';

/** Sums of a month. */
export type Totals = Omit<TypeQuantities, 'type'>;

export const NOTHING: Totals = { events: 0n, bytesIngested: 0n, bytesReceived: 0n };

/** A closing or reopening, as the audit log has it. */
export interface ClosingRecord {
  /** From 1, in the order in which they were made. */
  number: bigint;
  /** 2026-10 */
  month: string;
  action: 'close' | 'reopen';
  /** Under which its figures are locked; of a reopening, that of the closing that it undoes. */
  closingId: string;
  /** Of a reopening, or of a closing that something stood against; else ''. */
  reason: string;
  /** What stood against it. */
  overridden: readonly string[];
  /** Of the operating system. */
  user: string;
  host: string;
  /** Billed for the month until then. */
  before: Totals;
  /** Of a closing, what was billed; of a reopening, what was metered then. */
  after: Totals;
  at: Date;
}

/** Which months are closed. They follow each other without a gap. */
export class Closings {
  /** Every closing and reopening, in the order in which they were made. */
  readonly log: readonly ClosingRecord[];
  readonly #inForce: ReadonlyMap<string, ClosingRecord>;

  constructor(log: readonly ClosingRecord[]) {
    this.log = log;
    const last = new Map(log.map((record) => [record.month, record]));
    this.#inForce = new Map([...last].filter(([, { action }]) => action === 'close'));
  }

  /** The closing of a month; undefined where it is open. */
  of(month: string): ClosingRecord | undefined {
    return this.#inForce.get(month);
  }

  /** The closed months, in order. */
  get months(): string[] {
    return [...this.#inForce.keys()].sort();
  }

  /** The months that may be closed next to those that are; none where every month may. */
  get neighbours(): { before: string; after: string } | undefined {
    const [first] = this.months;
    const last = this.months.at(-1);
    return first === undefined || last === undefined
      ? undefined
      : { before: besideMonth(first, -1), after: besideMonth(last, 1) };
  }
}

/** The name of a month so many months later. */
export function besideMonth(name: string, months: number): string {
  const [year, month] = name.split('-').map(Number);
  return new Date(Date.UTC(year ?? 0, (month ?? 1) - 1 + months, 1)).toISOString().slice(0, 7);
}

const texts = z.string().transform((text) => z.array(z.string()).parse(JSON.parse(text)));

const recordRow = z
  .object({
    number: uint64,
    month: z.string(),
    action: z.enum(['close', 'reopen']),
    closing_id: z.string(),
    reason: z.string(),
    overridden: texts,
    user: z.string(),
    host: z.string(),
    events_before: uint64,
    bytes_ingested_before: uint64,
    bytes_received_before: uint64,
    events: uint64,
    bytes_ingested: uint64,
    bytes_received: uint64,
    recorded_at: utcTime,
  })
  .transform(
    (row): ClosingRecord => ({
      number: row.number,
      month: row.month,
      action: row.action,
      closingId: row.closing_id,
      reason: row.reason,
      overridden: row.overridden,
      user: row.user,
      host: row.host,
      before: {
        events: row.events_before,
        bytesIngested: row.bytes_ingested_before,
        bytesReceived: row.bytes_received_before,
      },
      after: { events: row.events, bytesIngested: row.bytes_ingested, bytesReceived: row.bytes_received },
      at: row.recorded_at,
    }),
  );

/**
 * The closings there are.
 * @param asOf those that there were at this time
 */
export async function readClosings(store: Pick<Store, 'query'>, asOf?: Date): Promise<Closings> {
  const log = await store.query(
    'SELECT * FROM {{db}}.infrasage_billing_closings FINAL ORDER BY number',
    recordRow,
  );
  return new Closings(asOf ? log.filter(({ at }) => at <= asOf) : log);
}

/** Adds a record to the log: from here on it counts. To be called by one at a time. */
export async function record(
  store: Store,
  { log }: Closings,
  made: Omit<ClosingRecord, 'number'>,
): Promise<ClosingRecord> {
  const added = { ...made, number: (log.at(-1)?.number ?? 0n) + 1n };
  const { before, after } = added;
  await store.insert('infrasage_billing_closings', {
    number: added.number,
    month: added.month,
    action: added.action,
    closing_id: added.closingId,
    reason: added.reason,
    overridden: JSON.stringify(added.overridden),
    user: added.user,
    host: added.host,
    events_before: before.events,
    bytes_ingested_before: before.bytesIngested,
    bytes_received_before: before.bytesReceived,
    events: after.events,
    bytes_ingested: after.bytesIngested,
    bytes_received: after.bytesReceived,
    recorded_at: sqlTime(added.at),
  });
  return added;
}
