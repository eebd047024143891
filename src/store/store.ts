import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import type { LockMode, NamedLock } from './named-locks.ts';

/** Values bound to `{name:Type}` placeholders. */
export type Params = Record<
  string,
  string | number | bigint | boolean | Date | null | readonly (string | number | bigint)[]
>;

/** A row to insert. */
export type TextRow = Readonly<Record<string, string | number | bigint>>;

/** Rows that are made of what is stored, for a table: a SELECT of these columns, in this order. */
export interface Selection {
  table: string;
  columns: readonly string[];
  select: string;
}

/** A batch of lines in a spool file, ready for the pipeline. */
export interface SpooledBatch {
  batchId: string;
  /** Path of the spool file: lines of at most maxLine bytes, LF or CRLF. */
  path: string;
  source: string;
  /** Number in the source of the first line of the spool file, from 1. */
  firstLine: number;
  /** Whether some lines end in CRLF. */
  crlf: boolean;
  /** Whether some lines are blank; they are no events. */
  blank: boolean;
  /** Lines that were cut: number in the source and length in bytes as sent. */
  cut: readonly { line: number; length: number }[];
  receivedAt: Date;
  options: LineOptions;
  /** Which tenants its lines are bound to, in the order of the lines; none where they are not bound. */
  bindings: readonly Binding[];
}

/**
 * From this line on, up to the next binding: only events of the tenant are taken, and those without
 * one are its events. null for events of any tenant, each of which names its own.
 */
export interface Binding {
  line: number;
  tenant: string | null;
}

/** What decides the verdict on a line beside the line itself. */
export interface LineOptions {
  /** Fills an absent tenant_id. */
  tenant: string | null;
  /** Fills an absent event_type. */
  defaultType: string | null;
  strict: boolean;
  assumeUtc: boolean;
  /** Refuses events older than this many seconds; null for no limit. */
  maxAgeSeconds: number | null;
  /** Longest line, bytes. */
  maxLine: number;
}

/** The contract as it is: nothing filled in, nothing demanded beyond it. */
export const PLAIN_LINES = {
  tenant: null,
  defaultType: null,
  strict: false,
  assumeUtc: false,
  maxAgeSeconds: null,
  maxLine: 1024 * 1024,
} satisfies LineOptions;

/** The same, where they come from outside. */
export const lineOptions: z.ZodType<LineOptions> = z.object({
  tenant: z.string().nullable(),
  defaultType: z.string().nullable(),
  strict: z.boolean(),
  assumeUtc: z.boolean(),
  maxAgeSeconds: z.number().nullable(),
  maxLine: z.number(),
});

/** A statement of somebody else's, which may read and nothing more. */
export interface Question {
  sql: string;
  /** Texts that are bound to its placeholders. */
  params: Readonly<Record<string, string>>;
  /** Most rows of the answer. */
  maxRows: number;
}

/** The forms in which a result can be a file. */
export const FILE_FORMATS = ['parquet', 'csv', 'ndjson'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

/** A SELECT whose result is to be a file. */
export interface Extract {
  sql: string;
  /** Texts and numbers alone. */
  params: Params;
  format: FileFormat;
  /** Whether some texts may be no UTF-8: those of a Parquet file are then declared as bytes. */
  binary: boolean;
}

/** What to do where something failed that may pass by itself. */
export interface Retries {
  /** How long to try again, counted from the first failure, ms; 0 for not at all. */
  forMs: number;
  /** How long to wait after the first failure (0), the second (1), and so on, ms. */
  pauseMs(tries: number): number;
}

/** For a store of which no failure passes by itself. */
export const NO_RETRIES: Retries = { forMs: 0, pauseMs: () => 0 };

/** How many lines of a batch met one verdict. error is '' for accepted ones. */
export interface VerdictCount {
  error: string;
  lines: bigint;
  /** Bytes of these lines as sent, without their endings. */
  bytes: bigint;
}

/**
 * Batches that the embedded engine writes at the same time. One session runs one statement at a time, so each has a
 * session of its own; more than the cores of a laptop gained nothing. A server takes one more.
 */
export const WRITERS = 2;

/**
 * One ClickHouse, embedded or a server. SQL names tables with `{{db}}`, which
 * stands for the quoted database; everything else is bound. Failures are
 * InfrasageErrors with exit status 3.
 */
export interface Store {
  readonly database: string;
  readonly engineVersion: string;
  /** How many batches may be under way at the same time. */
  readonly parallelism: number;
  /** Folder where batches are spooled before they are written. */
  readonly spoolDir: string;
  /** Whether other machines may use this store too, with spool folders of their own. */
  readonly manyHosts: boolean;
  /** How a batch whose writing was interrupted is settled and written again. */
  readonly retries: Retries;
  /**
   * Aborted, with what every call fails with from then on, once the process that this store goes through has ended;
   * undefined where it goes through none.
   */
  readonly lost?: AbortSignal;
  /** Runs a SELECT; every row is parsed by the schema. 64-bit integers arrive as strings. */
  query<T>(sql: string, row: z.ZodType<T>, params?: Params): Promise<T[]>;
  /**
   * Answers a question, in which names of tables may go without the database. The engine itself refuses whatever is
   * more than reading its tables: changes, settings, files, other servers.
   * @returns a JSON array a line: the names of the columns, their types, then the rows, with integers in full
   * @throws InfrasageError (exit 2) where the engine refuses it
   */
  ask(question: Question): Promise<string>;
  /**
   * Has the engine write a result to an open, empty file, in memory that does not grow with it. Others' statements go
   * on meanwhile. That all of it is there is to be counted: the engine may not hear of what could not be written.
   * @param onBytes told how many bytes there are so far, now and then
   */
  writeResult(extract: Extract, file: FileHandle, onBytes?: (bytes: number) => void): Promise<void>;
  /** Runs a statement without a result, of those that insert no rows: these have calls of their own. */
  command(sql: string, params?: Params): Promise<void>;
  /**
   * Changes stored rows: an ALTER TABLE … DELETE or UPDATE, until it is done on all of them.
   * Refused where the disk is nearly full: the engine cannot open a table again whose change it could not write down.
   */
  mutate(sql: string, params?: Params): Promise<void>;
  /**
   * Inserts rows of the same columns, all of them or none, each value in the text form of its column's type; for
   * bookkeeping, not for events.
   */
  insert(table: string, ...rows: readonly TextRow[]): Promise<void>;
  /** Inserts rows that the engine selects; where another process has taken over from this one, none. */
  insertSelected(rows: Selection, params?: Params): Promise<void>;
  /** Runs work while no other work of this name runs on this data, in whatever process. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T>;
  /**
   * Sends the lines of a batch through the pipeline. Rejects with what it wrote unknown: with Interrupted where it may
   * work another time.
   */
  writeBatch(batch: SpooledBatch): Promise<void>;
  /**
   * Sees to it that nothing of a batch is under way, and nothing of it can begin any more, before it is counted to be
   * settled. Where a batch's writing ends with its statement, there is nothing to do.
   */
  stopBatch(batchId: string): Promise<void>;
  /** The verdicts on the lines of a batch; nothing is written. */
  judgeBatch(batch: SpooledBatch): Promise<VerdictCount[]>;
  /**
   * Takes a lock among all that use this database, in whatever process; waits in line for it. What a process
   * that has ended held is free once the last change that it began is done.
   */
  lock(name: string, mode?: LockMode): Promise<NamedLock>;
  /** Takes a lock for oneself alone where nobody has it; undefined where somebody does. */
  tryLock(name: string): Promise<NamedLock | undefined>;
  /** Waits for what is under way, then lets go of the engine. */
  close(): Promise<void>;
}

/** What a report needs of a store. */
export type Reader = Pick<Store, 'database' | 'query'>;

/** A UInt64 or Int64 column. */
export const uint64 = z.transform((value: unknown, { issues }) => {
  // By a rule of its own: as the union of a text and a number, 12,000 of them took 35 ms instead of 24.
  if (typeof value === 'string' ? /^-?\d+$/.test(value) : Number.isSafeInteger(value)) {
    return BigInt(value as string | number);
  }
  issues.push({ code: 'custom', message: 'not a whole number', input: value });
  return z.NEVER;
});
/** A DateTime or DateTime64 column in UTC. */
export const utcTime = z.string().transform((s) => new Date(`${s.replace(' ', 'T')}Z`));

/** A verdict and its lines, as a query gives them. */
export const verdictCount: z.ZodType<VerdictCount> = z.object({
  error: z.string(),
  lines: uint64,
  bytes: uint64,
});

/** A time as a DateTime64(3, 'UTC') parameter takes it. */
export function sqlTime(time: Date): string {
  return time.toISOString().replace('T', ' ').replace('Z', '');
}
