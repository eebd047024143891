/** Roles of a token, from the least to the most; `system` is for machines. */
export const ROLES = ['viewer', 'operator', 'admin', 'super-admin', 'system'] as const;
export type Role = (typeof ROLES)[number];

/** What can be done through the API. */
export type Action =
  /** Usage, bills, quotas and alerts are read. */
  | 'read usage'
  /** Telemetry is sent. */
  | 'ingest'
  /** Alerts and quotas are changed. */
  | 'change settings'
  /** The figures of this process and its engine are read. */
  | 'read metrics'
  /** A tenant other than one's own is named, or all are asked for. */
  | 'name a tenant';

/** Who a request is from. Its tenant is that of its token or key, and nothing else. */
export interface Principal {
  readonly tenantId: string;
  /** An API key has no role: it sends telemetry, and that is all. */
  readonly role: Role | 'api key';
}

const ALLOWED: Record<Principal['role'], readonly Action[]> = {
  viewer: ['read usage'],
  operator: ['read usage', 'ingest'],
  admin: ['read usage', 'ingest', 'change settings'],
  'super-admin': ['read usage', 'ingest', 'change settings', 'read metrics', 'name a tenant'],
  system: ['ingest', 'read metrics'],
  'api key': ['ingest'],
};

/** Whether someone may do something to what is their tenant's. */
export function may({ role }: Pick<Principal, 'role'>, action: Action): boolean {
  return ALLOWED[role].includes(action);
}
