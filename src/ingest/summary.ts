import type { Batch } from './batch.ts';
import type { BatchTotals } from './stored-rows.ts';

/** What became of the input: lines = accepted + rejected + skipped. */
export interface IngestSummary {
  lines: bigint;
  accepted: bigint;
  rejected: bigint;
  /** Lines that were ingested before. */
  skipped: bigint;
  bytes_received: bigint;
  bytes_ingested: bigint;
  /** Rejected lines by error code, most frequent first. */
  errors: Record<string, bigint>;
  /** Accepted events by their month, like 2026-10, in order; of a dry run none. */
  months: Record<string, bigint>;
  elapsed_ms: number;
}

/** What became of the batches of a run so far. */
export class Tally {
  readonly #started = performance.now();
  /** Bytes of the input that are done with. */
  bytesDone = 0;
  #lines = 0n;
  #skipped = 0n;
  readonly #totals: BatchTotals = {
    accepted: 0n,
    rejected: 0n,
    bytesReceived: 0n,
    bytesIngested: 0n,
    errors: {},
    months: {},
  };

  /** Lines that are stored, as events or as dead letters. */
  get stored(): bigint {
    return this.#totals.accepted + this.#totals.rejected;
  }

  add({ lines, bytes }: Pick<Batch, 'lines' | 'bytes'>, totals: BatchTotals): void {
    this.#lines += BigInt(lines);
    this.bytesDone += bytes;
    this.#totals.accepted += totals.accepted;
    this.#totals.rejected += totals.rejected;
    this.#totals.bytesReceived += totals.bytesReceived;
    this.#totals.bytesIngested += totals.bytesIngested;
    this.#totals.errors = added([this.#totals.errors, totals.errors]);
    this.#totals.months = added([this.#totals.months, totals.months]);
  }

  skip({ lines, bytes }: Pick<Batch, 'lines' | 'bytes'>): void {
    this.#lines += BigInt(lines);
    this.#skipped += BigInt(lines);
    this.bytesDone += bytes;
  }

  summary(): IngestSummary {
    const { accepted, rejected, bytesReceived, bytesIngested, errors, months } = this.#totals;
    return {
      lines: this.#lines,
      accepted,
      rejected,
      skipped: this.#skipped,
      bytes_received: bytesReceived,
      bytes_ingested: bytesIngested,
      errors: byCount(errors),
      months: byName(months),
      elapsed_ms: Math.round(performance.now() - this.#started),
    };
  }
}

/** The summaries of several runs as one; elapsed_ms is that of the longest. */
export function together(summaries: readonly IngestSummary[]): IngestSummary {
  const sum = (of: (summary: IngestSummary) => bigint) => summaries.reduce((all, one) => all + of(one), 0n);
  return {
    lines: sum(({ lines }) => lines),
    accepted: sum(({ accepted }) => accepted),
    rejected: sum(({ rejected }) => rejected),
    skipped: sum(({ skipped }) => skipped),
    bytes_received: sum(({ bytes_received }) => bytes_received),
    bytes_ingested: sum(({ bytes_ingested }) => bytes_ingested),
    errors: byCount(added(summaries.map(({ errors }) => errors))),
    months: byName(added(summaries.map(({ months }) => months))),
    elapsed_ms: Math.max(0, ...summaries.map(({ elapsed_ms }) => elapsed_ms)),
  };
}

function added(all: readonly Readonly<Record<string, bigint>>[]): Record<string, bigint> {
  const sums: Record<string, bigint> = {};
  for (const [name, count] of all.flatMap((one) => Object.entries(one)))
    sums[name] = (sums[name] ?? 0n) + count;
  return sums;
}

function byName(months: Record<string, bigint>): Record<string, bigint> {
  return Object.fromEntries(Object.entries(months).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function byCount(errors: Record<string, bigint>): Record<string, bigint> {
  return Object.fromEntries(
    Object.entries(errors).sort(([a, m], [b, n]) => (n > m ? 1 : n < m ? -1 : a < b ? -1 : 1)),
  );
}
