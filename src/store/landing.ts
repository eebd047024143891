import type { LandingBatch, Params } from './store.ts';

/** A SELECT with the columns of infrasage_landing, and the values bound in it. */
export interface LandingSelect {
  sql: string;
  params: Params;
}

/**
 * The rows of a batch as infrasage_landing takes them.
 * @param lines a table expression with one String column `line`, in the order of the input, e.g. a file()
 */
export function landingSelect(batch: LandingBatch, lines: string): LandingSelect {
  const text = batch.crlf ? `if(endsWith(line, '\\r'), substring(line, 1, length(line) - 1), line)` : 'line';
  const length =
    batch.cut.length === 0
      ? 'length(line)'
      : 'transform(line_number, {cut_lines:Array(UInt64)}, {cut_lengths:Array(UInt64)}, length(line))';
  // A blank line holds nothing but white space; the scan that counted it used the same bytes.
  const events = batch.blank ? `WHERE NOT match(line, '^[ \\t\\r]*$')` : '';
  const { options } = batch;
  return {
    sql: `SELECT
      line,
      line_number,
      ${length} AS line_length,
      {batch_id:String} AS batch_id,
      {source:String} AS source,
      toDateTime64({received_at:String}, 3, 'UTC') AS received_at,
      CAST({tenant:Nullable(String)}, 'LowCardinality(Nullable(String))') AS default_tenant,
      CAST({default_type:Nullable(String)}, 'LowCardinality(Nullable(String))') AS default_type,
      {strict:UInt8} AS strict,
      {assume_utc:UInt8} AS assume_utc,
      {max_age:UInt64} AS max_age_seconds,
      {max_line:UInt64} AS max_line
    FROM (SELECT ${text} AS line, {first_line:UInt64} + rowNumberInAllBlocks() AS line_number FROM ${lines})
    ${events}`,
    params: {
      batch_id: batch.batchId,
      source: batch.source,
      received_at: batch.receivedAt.toISOString().replace('T', ' ').replace('Z', ''),
      tenant: options.tenant,
      default_type: options.defaultType,
      strict: options.strict ? 1 : 0,
      assume_utc: options.assumeUtc ? 1 : 0,
      max_age: options.maxAgeSeconds ?? 0,
      max_line: options.maxLine,
      first_line: batch.firstLine,
      ...(batch.cut.length === 0
        ? {}
        : { cut_lines: batch.cut.map((c) => c.line), cut_lengths: batch.cut.map((c) => c.length) }),
    },
  };
}

/**
 * Keeps a batch one block, so that a batch is one part a month in each table
 * and its line numbers are those of the file.
 */
export const ONE_BLOCK = [
  'max_threads = 1',
  'max_insert_threads = 1',
  'max_block_size = 5000000',
  'max_insert_block_size = 5000000',
  'min_insert_block_size_rows = 5000000',
  'min_insert_block_size_bytes = 2000000000',
  'input_format_parallel_parsing = 0',
  'max_partitions_per_insert_block = 0',
].join(', ');
