import { parseSql } from './schema.ts';
import type { SpooledBatch } from './store.ts';

/**
 * The statement, without its settings, that judges the lines of a batch and hands them to the views that store
 * and meter them.
 * @param lines see batchLines()
 * @param guard a condition without which nothing is inserted
 */
export function batchInsert(batch: SpooledBatch, lines: string, guard?: string): string {
  const all = batchLines(batch, lines);
  const guarded = guard === undefined ? all : `SELECT * FROM (${all}) WHERE ${guard}`;
  return `INSERT INTO {{db}}.infrasage_parsed ${parseSql(guarded)}`;
}

/** A SELECT that judges the lines of a batch and counts them, a row a verdict (verdictCount). */
export function verdictsSelect(batch: SpooledBatch, lines: string): string {
  const judged = parseSql(batchLines(batch, lines));
  return `SELECT error, count() AS lines, sum(line_length) AS bytes FROM (${judged}) GROUP BY error`;
}

/**
 * A SELECT with the lines of a batch as parse.sql takes them, each with its number and the options it is judged by.
 *
 * Nothing is bound in it: the embedded engine's binding runs statements with
 * bound values one at a time in the whole process, and batches are written side
 * by side. Strings go in as hexadecimal digits instead, numbers as digits, so
 * that no value can be read as SQL.
 * @param lines a table expression with one String column `line`, in the order of the input, e.g. a file()
 */
export function batchLines(batch: SpooledBatch, lines: string): string {
  const text = batch.crlf ? `if(endsWith(line, '\\r'), substring(line, 1, length(line) - 1), line)` : 'line';
  const length =
    batch.cut.length === 0
      ? 'length(line)'
      : `transform(line_number, [${batch.cut.map((c) => digits(c.line)).join()}], [${batch.cut.map((c) => digits(c.length)).join()}], length(line))`;
  // A blank line holds nothing but white space; the scan that counted it used the same bytes.
  // One that was cut is none, however its start may look.
  const cutLines =
    batch.cut.length === 0 ? '0' : `line_number IN (${batch.cut.map((c) => digits(c.line)).join()})`;
  const events = batch.blank ? `WHERE ${cutLines} OR NOT match(line, '^[ \\t\\r]*$')` : '';
  const { options } = batch;
  const { tenant, bound } = tenants(batch);
  return `SELECT
      line,
      line_number,
      ${length} AS line_length,
      ${hex(batch.batchId)} AS batch_id,
      ${hex(batch.source)} AS source,
      toDateTime64(${digits(batch.receivedAt.getTime())} / 1000, 3, 'UTC') AS received_at,
      CAST(${tenant}, 'LowCardinality(Nullable(String))') AS default_tenant,
      CAST(${hexOrNull(options.defaultType)}, 'LowCardinality(Nullable(String))') AS default_type,
      ${options.strict ? 1 : 0} AS strict,
      ${options.assumeUtc ? 1 : 0} AS assume_utc,
      ${digits(options.maxAgeSeconds ?? 0)} AS max_age_seconds,
      ${digits(options.maxLine)} AS max_line,
      ${bound} AS tenant_bound
    FROM (SELECT ${text} AS line, ${digits(batch.firstLine)} + rowNumberInAllBlocks() AS line_number FROM ${lines})
    ${events}`;
}

/** The tenant that fills or binds a line, and whether it binds it, each as an expression. */
function tenants({ bindings, options }: SpooledBatch): { tenant: string; bound: string } {
  const [first, ...others] = bindings;
  if (!first) return { tenant: hexOrNull(options.tenant), bound: '0' };
  if (others.length === 0)
    return { tenant: hexOrNull(first.tenant), bound: first.tenant === null ? '0' : '1' };
  // A search among the starts of the ranges, then one in a table: a batch may be of hundreds of tenants.
  const starts = `[${bindings.map(({ line }) => digits(line)).join()}]`;
  const range = `roundDown(line_number, ${starts})`;
  const bound = `transform(${range}, ${starts}, [${bindings.map((b) => (b.tenant === null ? 0 : 1)).join()}], 0)`;
  const names = bindings.map((b) => hex(b.tenant ?? '')).join();
  return { tenant: `if(${bound}, transform(${range}, ${starts}, [${names}], ''), NULL)`, bound };
}

/** A file of lines, in order, as a table expression. */
export function linesOf(path: string): string {
  return `file(${hex(path)}, 'LineAsString', 'line String')`;
}

/** A string in SQL that is nothing but hexadecimal digits. */
function hex(text: string): string {
  return `unhex('${Buffer.from(text, 'utf8').toString('hex')}')`;
}

function hexOrNull(text: string | null): string {
  return text === null ? 'NULL' : hex(text);
}

function digits(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no whole number`);
  return String(value);
}

/**
 * Lines are read and judged in small blocks, which stay in the processor's caches; what is stored of them is made
 * one block, so that a batch is one part a month in each table. Its line numbers are those of the file, as one
 * thread reads them.
 *
 * Its plan is a single pass with nothing to reorder: looking for better ones
 * took 11 of the 46 ms of CPU time of a batch of one line.
 */
export const ONE_BLOCK = [
  'max_threads = 1',
  'max_insert_threads = 1',
  'max_block_size = 32768',
  'max_insert_block_size = 32768',
  'min_insert_block_size_rows = 5000000',
  'min_insert_block_size_bytes = 2000000000',
  'input_format_parallel_parsing = 0',
  'max_partitions_per_insert_block = 0',
  'query_plan_enable_optimizations = 0',
].join(', ');
