import { event } from './events.ts';

/** An event that is told from others by its body. */
export const marked = (body: string, fields: Record<string, unknown> = {}) => event({ ...fields, body });

/** The same without a service, which makes it a dead letter. */
export const nameless = (body: string, fields: Record<string, unknown> = {}) =>
  marked(body, { service_id: undefined, ...fields });

/** What `dlq replay --json` prints. */
export interface Replay {
  dry_run: boolean;
  selected: number;
  passing?: number;
  replayed: number;
  rejected_again: number;
  staying: Record<string, number>;
  bytes_received: number;
  bill: Record<string, unknown>[];
}
