export const EVENT_TYPES = ['metric', 'log', 'trace', 'event', 'profile', 'slo'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Every reason for a dead letter, in the order in which the rules are tried. */
export const ERROR_CODES = [
  'line_too_long',
  'invalid_json',
  'not_an_object',
  'duplicate_key',
  'missing_tenant_id',
  'invalid_tenant_id',
  'missing_service_id',
  'invalid_service_id',
  'missing_event_type',
  'invalid_event_type',
  'missing_timestamp',
  'invalid_timestamp',
  'timestamp_in_future',
  'timestamp_too_old',
  'invalid_metric_name',
  'invalid_value',
  'invalid_body',
  'invalid_trace_id',
  'invalid_attributes',
  'missing_metric_name',
  'missing_value',
  'missing_body',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What decides the verdict on a line beside the line itself. */
export interface ContractOptions {
  /** Fills an absent tenant_id. */
  tenant?: string | undefined;
  /** Whether only events of that tenant are taken. */
  tenantBound?: boolean | undefined;
  /** Fills an absent event_type. */
  defaultType?: EventType | undefined;
  strict: boolean;
  /** Takes timestamps without an offset as UTC, and a space for the T. */
  assumeUtc: boolean;
  /** Refuses events older than this at receivedAt, milliseconds; none or 0 for no limit. */
  maxAgeMs?: number | undefined;
  /** Longest line, bytes. */
  maxLine: number;
  receivedAt: Date;
}

/** A rule that a line breaks. */
export interface Violation {
  code: ErrorCode;
  /** The field concerned, or the repeated key; of what is not JSON, `byte 118`; empty for the line as a whole. */
  path: string;
  /** One plain sentence, without a full stop. */
  message: string;
  /** An excerpt of what is there, at most 80 characters, without control or format characters. */
  found: string;
  /** What the rule asks for. */
  expected: string;
}

/** What an accepted line is metered as. */
export interface ContractEvent {
  tenantId: string;
  eventType: EventType;
  serviceId: string;
  timestamp: Date;
}
