import type { FileHandle } from 'node:fs/promises';
import { parquetMetadataAsync } from 'hyparquet';
import type { FileFormat } from '../store/store.ts';

const LF = 0x0a;
const QUOTE = 0x22;
const READ_BYTES = 1024 * 1024;

/**
 * How many rows a file has that the engine wrote, read anew: of Parquet, what its footer says, which is written last.
 * @returns undefined where it ends before its end: in a row, or without its footer
 */
export async function rowCount(file: FileHandle, format: FileFormat): Promise<bigint | undefined> {
  if (format === 'parquet') return footerRows(file);
  const lines = await lineCount(file, { quotes: format === 'csv' });
  // The first is that of the names.
  return lines !== undefined && format === 'csv' ? lines - 1n : lines;
}

async function footerRows(file: FileHandle): Promise<bigint | undefined> {
  const { size } = await file.stat();
  const slice = async (start: number, end = size) => {
    const bytes = new Uint8Array(end - start);
    await file.read(bytes, 0, bytes.length, start);
    return bytes.buffer;
  };
  try {
    const { num_rows } = await parquetMetadataAsync({ byteLength: size, slice });
    return num_rows;
  } catch {
    return undefined;
  }
}

/** @param options.quotes whether a line feed within quotes ends no line, as in CSV, where a quote in a text is two */
async function lineCount(file: FileHandle, { quotes }: { quotes: boolean }): Promise<bigint | undefined> {
  const piece = Buffer.alloc(READ_BYTES);
  let lines = 0n;
  let isQuoted = false;
  let last = LF;
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return last === LF && !isQuoted ? lines : undefined;
    let found = 0;
    for (let i = 0; i < bytesRead; i++) {
      const byte = piece[i];
      if (quotes && byte === QUOTE) isQuoted = !isQuoted;
      else if (byte === LF && !isQuoted) found += 1;
    }
    lines += BigInt(found);
    last = piece[bytesRead - 1] ?? LF;
    at += bytesRead;
  }
}
