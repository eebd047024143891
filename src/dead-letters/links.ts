import { stringify } from 'lossless-json';
import type { ContractEvent } from '../ingest/contract.ts';
import type { LedgerEntry } from '../ingest/ledger.ts';
import type { LetterPlace } from '../reports/letter-pages.ts';
import { type Store, sqlTime } from '../store/store.ts';
import type { Changes } from './edit.ts';

/** A letter as a line of the batch it is sent again in. */
export interface Link {
  letter: LetterPlace;
  /** Its number in the batch. */
  line: number;
  /** What it is expected to become. */
  event: ContractEvent;
  /** Length of the line. */
  bytes: number;
}

/** Links that are written in one statement. */
const STEP = 5_000;

/**
 * Writes down which letters a batch takes: to be durable before its intent is, so that whatever of the batch may
 * count, its letters are known. They are taken where the batch is committed, and free where it is not.
 */
export async function recordLinks(
  store: Store,
  { key, previousKey }: Pick<LedgerEntry, 'key' | 'previousKey'>,
  links: readonly Link[],
  { changes, now }: { changes: Changes; now: Date },
): Promise<void> {
  const set = stringify(Object.fromEntries(changes)) ?? '{}';
  for (let i = 0; i < links.length; i += STEP) {
    await store.insert(
      'infrasage_dlq_replays',
      ...links.slice(i, i + STEP).map(({ letter, line, event, bytes }) => ({
        letter_batch: letter.batchId,
        letter_line: letter.line,
        previous_key: previousKey,
        key,
        line,
        changes: set,
        tenant_id: event.tenantId,
        event_type: event.eventType,
        service_id: event.serviceId,
        timestamp: sqlTime(event.timestamp),
        bytes_received: bytes,
        recorded_at: sqlTime(now),
      })),
    );
  }
}
