import { statSync } from 'node:fs';
import ora from 'ora';
import type { Context } from '../context.ts';
import type { IngestSummary } from '../ingest/ingest.ts';
import { formatBytes, formatCount } from '../render/text.ts';

/** A line on a terminal's standard error while an ingest runs; nothing elsewhere. */
export function ingestProgress(
  { config, io }: Context,
  files: readonly string[],
): { update(summary: IngestSummary, bytesRead: number): void; stop(): void } {
  if (config.quiet || !io.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const total = sizeOf(files);
  const spinner = ora({
    text: 'ingesting',
    stream: io.stderr as NodeJS.WriteStream,
    discardStdin: false,
  }).start();
  return {
    update: ({ lines, rejected, elapsed_ms }, bytesRead) => {
      const share =
        total !== undefined && total > 0
          ? ` · ${Math.min(100, Math.floor((bytesRead / total) * 100))} %`
          : '';
      const rate =
        elapsed_ms > 0 ? ` · ${formatCount(Math.round((Number(lines) * 1000) / elapsed_ms))} lines/s` : '';
      spinner.text = `${formatCount(lines)} lines · ${formatCount(rejected)} rejected · ${formatBytes(bytesRead)}${share}${rate}`;
    },
    stop: () => spinner.stop(),
  };
}

/** Bytes of plain files; undefined where it is not known beforehand. */
function sizeOf(files: readonly string[]): number | undefined {
  if (files.length === 0 || files.some((file) => file === '-' || /\.(gz|zst)$/.test(file))) return undefined;
  return files.reduce((sum, file) => sum + statSync(file).size, 0);
}
