import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { storeFailure } from './failure.ts';
import { quoted } from './literal.ts';
import type { FileFormat, Params } from './store.ts';

/** What the engine calls each form. */
export const ENGINE_FORMATS: Record<FileFormat, string> = {
  parquet: 'Parquet',
  csv: 'CSVWithNames',
  ndjson: 'JSONEachRow',
};

/** With what each form is written, whatever the user's profile says. Small row groups: one is in memory as a whole. */
const SETTINGS: Record<FileFormat, readonly [name: string, value: string][]> = {
  parquet: [
    ['output_format_parquet_row_group_size', '65536'],
    ['output_format_parquet_row_group_size_bytes', String(32 * 1024 * 1024)],
    ['output_format_parquet_compression_method', 'zstd'],
  ],
  csv: [
    ['format_csv_delimiter', ','],
    ['format_csv_null_representation', ''],
    ['date_time_output_format', 'iso'],
  ],
  ndjson: [
    ['output_format_json_quote_64bit_integers', '0'],
    ['output_format_json_escape_forward_slashes', '0'],
    ['output_format_json_validate_utf8', '1'],
    ['date_time_output_format', 'iso'],
  ],
};

/**
 * The settings of a form.
 * @param options.binary whether the texts of a Parquet file are declared as bytes: some are no UTF-8
 */
export function extractSettings(format: FileFormat, { binary }: { binary: boolean }): [string, string][] {
  const texts = ['output_format_parquet_string_as_string', binary ? '0' : '1'] as const;
  return [...SETTINGS[format].map(([name, value]): [string, string] => [name, value]), [...texts]];
}

/**
 * A statement with its values written into it, as hexadecimal digits: of statements with bound values, the embedded
 * engine runs one at a time in the whole process, and an extract may take minutes.
 */
export function withValues(sql: string, params: Params): string {
  return sql.replaceAll(/\{(\w+):([^}]+)\}/g, (_, name: string, type: string) => {
    const value = params[name];
    if (value === undefined || value === null || typeof value === 'object')
      throw new TypeError(`${name} cannot be written into a statement`);
    return `CAST(${quoted(String(value))}, ${quoted(type)})`;
  });
}

/** A file without a name, in a folder: it is gone with its last user, however that ends. To be closed by who asks. */
export async function namelessFile(folder: string): Promise<FileHandle> {
  const path = join(folder, `${process.pid}-${performance.now()}.extract`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
}

/**
 * Writes what comes to the end of a file.
 * @throws InfrasageError (exit 3) where it cannot be written; what the source fails with goes through
 */
export async function writeAll(
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  let bytes = 0;
  for await (const piece of source) {
    try {
      await file.writeFile(piece);
    } catch (error) {
      throw storeFailure(error);
    }
    bytes += piece.length;
    onBytes(bytes);
  }
}
