import type { Context } from '../context.ts';
import type { Violation } from '../ingest/contract.ts';
import { explain, tooLong } from '../ingest/judge.ts';
import { isoTime } from '../period.ts';
import { jsonText } from '../render/json.ts';
import type { Column, Report, Row } from '../render/report.ts';
import { excerpt, formatCount, plural } from '../render/text.ts';
import { contractOf, type FoundLetter, type Replayed } from '../reports/dead-letter.ts';
import { letterCells } from './dlq-letter.ts';

const VIOLATION_COLUMNS: readonly Column[] = [
  { key: 'code', title: 'Rule', kind: 'text', whole: true },
  { key: 'path', title: 'Where', kind: 'text' },
  { key: 'found', title: 'Found', kind: 'text' },
  { key: 'expected', title: 'Expected', kind: 'text' },
];

/** A dead letter whole: every rule that it breaks, its bytes, and what has become of it. */
export function letterReport({ letter, origin, replayed, replayOf }: FoundLetter, context: Context): Report {
  const contract = contractOf(origin, letter.receivedAt);
  // A line that was cut cannot be judged again: what it was rejected for is known.
  const cut = origin.sentBytes > letter.raw.length;
  const violations = cut ? [tooLong(origin.sentBytes, contract)] : explain(letter.raw, contract);
  const raw = isUtf8(letter.raw)
    ? { raw: letter.raw.toString(), raw_base64: null }
    : { raw: null, raw_base64: letter.raw.toString('base64') };
  const about = { ...letterCells(letter), ...raw, bytes: origin.sentBytes, replay_of: replayOf ?? null };
  return {
    data: { ...about, replayed: replayed ? replayedJson(replayed) : null, violations },
    rows: (violations.length > 0 ? violations : [undefined]).map((violation) => ({
      ...about,
      ...violationCells(violation),
    })),
    columns: [
      { key: 'id', title: 'Id', kind: 'text' },
      { key: 'received_at', title: 'Received', kind: 'text' },
      { key: 'tenant_id', title: 'Tenant', kind: 'text' },
      { key: 'error', title: 'Error', kind: 'text' },
      { key: 'message', title: 'Message', kind: 'text' },
      { key: 'source', title: 'Source', kind: 'text' },
      { key: 'line', title: 'Line', kind: 'count' },
      { key: 'state', title: 'State', kind: 'text' },
      { key: 'raw', title: 'As sent', kind: 'text' },
      { key: 'raw_base64', title: 'As sent, base64', kind: 'text' },
      { key: 'bytes', title: 'Bytes', kind: 'count' },
      { key: 'replay_of', title: 'Replay of', kind: 'text' },
      ...VIOLATION_COLUMNS,
    ],
    tableColumns: VIOLATION_COLUMNS,
    wrap: true,
    // Of what is not JSON, the reader here knows more than the engine's.
    title: `Dead letter ${letter.id}: ${violations.find(({ code }) => code === 'invalid_json')?.message ?? letter.message}`,
    notes: [
      `Source: ${letter.source === '-' ? 'standard input' : letter.source}, line ${formatCount(letter.line)}, received ${isoTime(letter.receivedAt)}`,
      ...(letter.tenantId ? [`Tenant: ${letter.tenantId}`] : []),
      `As sent (${plural(origin.sentBytes, 'byte')}${cut ? `, the first ${formatCount(letter.raw.length)} were kept` : ''}): ${excerpt(letter.raw.toString(), 2000)}`,
      ...(replayOf ? [`It is ${replayOf}, replayed and rejected again.`] : []),
      ...(replayed ? [replayedWords(replayed, context)] : []),
      ...(cut ? ['It cannot be replayed: not all of it was kept.'] : []),
    ],
  };
}

function violationCells(violation: Violation | undefined): Row {
  const { code = null, path = null, found = null, expected = null } = violation ?? {};
  return { code, path, found, expected };
}

function replayedJson({ at, changes, batchId, event, rejectedAs }: Replayed) {
  return {
    at: isoTime(at),
    changes,
    batch_id: batchId,
    event: event
      ? {
          tenant_id: event.tenantId,
          event_type: event.eventType,
          service_id: event.serviceId,
          timestamp: isoTime(event.timestamp),
          bytes_received: event.bytes,
        }
      : null,
    rejected_as: rejectedAs ?? null,
  };
}

function replayedWords({ at, changes, event, rejectedAs }: Replayed, context: Context): string {
  const fields = Object.entries(changes).map(([field, value]) => `${field}=${jsonText(value)}`);
  const how = `Replayed ${isoTime(at)}${fields.length > 0 ? ` with ${fields.join(', ')}` : ''}`;
  if (!event)
    return `${how}, and rejected again: ${context.commandLine(`dlq show ${rejectedAs}`, { tenant: false })}`;
  return `${how}: it is the ${event.eventType} of ${event.serviceId} of ${event.tenantId} at ${isoTime(event.timestamp)}, ${plural(event.bytes, 'byte')}`;
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes);
}
