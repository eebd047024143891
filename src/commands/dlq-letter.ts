import { fromFault } from '../ingest/fault-place.ts';
import { isoTime } from '../period.ts';
import type { Row } from '../render/report.ts';
import { excerpt } from '../render/text.ts';
import type { DeadLetter } from '../reports/dead-letters.ts';

/** A dead letter as a row. */
export function letterCells(letter: DeadLetter): Row {
  return {
    id: letter.id,
    received_at: isoTime(letter.receivedAt),
    tenant_id: letter.tenantId || null,
    error: letter.error,
    message: letter.message,
    source: letter.source,
    line: letter.line,
    state: letter.state,
    excerpt: excerptOf(letter),
  };
}

const EXCERPT_LENGTH = 60;

/** A letter as sent, from where it is wrong. */
export function excerptOf({ raw, error }: Pick<DeadLetter, 'raw' | 'error'>): string {
  return excerpt(fromFault(raw, error, EXCERPT_LENGTH), EXCERPT_LENGTH);
}
