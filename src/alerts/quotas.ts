import { z } from 'zod';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { ownOrDefault } from './own.ts';

/** A monthly limit; null where there is none. */
export interface Quota {
  events: bigint | null;
  /** Compressed bytes as stored. */
  bytes: bigint | null;
}

/** A change of a quota; both limits null: it was removed. */
export interface QuotaChange extends Quota {
  /** '' is the default for every tenant without a quota of its own. */
  tenantId: string;
  at: Date;
}

/** Monthly quotas: a tenant's own, or the default for all. */
export class Quotas {
  /** Every change there was, in the order of the changes of each tenant. */
  readonly history: readonly QuotaChange[];

  constructor(history: readonly QuotaChange[]) {
    this.history = history;
  }

  /** The quota that a tenant has, its own or the default; at a time in the past, the one it had then. */
  of(tenantId: string, at?: Date): Quota {
    return this.applying(tenantId, at) ?? NONE;
  }

  /** The same with whose it is; undefined where there is none. */
  applying(tenantId: string, at?: Date): QuotaChange | undefined {
    return ownOrDefault((owner) => this.own(owner, at), tenantId);
  }

  /** The quota set for exactly this tenant, or with '' the default; undefined where there is none. */
  own(tenantId: string, at?: Date): QuotaChange | undefined {
    const last = this.history.findLast(
      (change) => change.tenantId === tenantId && (at === undefined || change.at < at),
    );
    return last && (last.events !== null || last.bytes !== null) ? last : undefined;
  }

  /** The limits of one kind for a transform() in SQL: of tenants with a quota of their own, and of all others; 0: none. */
  limits(kind: keyof Quota): { tenants: string[]; limits: bigint[]; others: bigint } {
    const own = this.all.filter(({ tenantId }) => tenantId !== '');
    return {
      tenants: own.map(({ tenantId }) => tenantId),
      limits: own.map((quota) => quota[kind] ?? 0n),
      others: this.of('')[kind] ?? 0n,
    };
  }

  /** The quotas in force, by tenant, the default first. */
  get all(): (Quota & { tenantId: string })[] {
    const tenants = [...new Set(this.history.map((change) => change.tenantId))].sort();
    return tenants.flatMap((tenantId) => {
      const own = this.own(tenantId);
      return own ? [{ tenantId, events: own.events, bytes: own.bytes }] : [];
    });
  }
}

const NONE: Quota = { events: null, bytes: null };

/** Share of a quota that is used, percent, cut to two decimals: 100 is not said before it is reached. */
export function usedPercent(used: bigint, quota: bigint): number {
  return Number((used * 10_000n) / quota) / 100;
}

const limit = uint64.transform((value) => (value === 0n ? null : value));

/** All quotas, with their history. */
export async function readQuotas(store: Store): Promise<Quotas> {
  return new Quotas(
    await store.query(
      `SELECT tenant_id, if(deleted, 0, monthly_events) AS events, if(deleted, 0, monthly_bytes) AS bytes, changed_at
      FROM {{db}}.infrasage_quotas FINAL ORDER BY tenant_id, version`,
      z
        .object({ tenant_id: z.string(), events: limit, bytes: limit, changed_at: utcTime })
        .transform(({ tenant_id, events, bytes, changed_at }): QuotaChange => {
          return { tenantId: tenant_id, events, bytes, at: changed_at };
        }),
    ),
  );
}

/**
 * Sets a tenant's monthly quota, or the default with tenantId ''. A limit that
 * is not given stays as it is.
 * @returns the quota as it is now
 */
export async function setQuota(
  store: Store,
  tenantId: string,
  { events, bytes }: Partial<Quota>,
  now: Date,
): Promise<Quota> {
  return store.exclusively('quotas', async () => {
    const before = (await readQuotas(store)).own(tenantId) ?? NONE;
    const wanted = { events: events ?? before.events, bytes: bytes ?? before.bytes };
    await put(store, { tenantId, ...wanted, at: now });
    return wanted;
  });
}

/**
 * Removes a tenant's own quota, or the default with tenantId ''.
 * @returns the quota that was removed; undefined where there was none
 */
export async function unsetQuota(store: Store, tenantId: string, now: Date): Promise<Quota | undefined> {
  return store.exclusively('quotas', async () => {
    const before = (await readQuotas(store)).own(tenantId);
    if (before) await put(store, { tenantId, ...NONE, at: now });
    return before;
  });
}

async function put(store: Store, { tenantId, events, bytes, at }: QuotaChange): Promise<void> {
  const [last] = await store.query(
    'SELECT max(version) AS version FROM {{db}}.infrasage_quotas WHERE tenant_id = {tenant:String}',
    z.object({ version: uint64 }),
    { tenant: tenantId },
  );
  const version = (last?.version ?? 0n) + 1n;
  await store.insert('infrasage_quotas', {
    tenant_id: tenantId,
    monthly_events: events ?? 0n,
    monthly_bytes: bytes ?? 0n,
    deleted: events === null && bytes === null ? 1 : 0,
    version,
    revision: version,
    changed_at: sqlTime(at),
  });
}

/** The JSON shape of a quota. */
export function quotaJson(tenantId: string, { events, bytes }: Quota) {
  return { tenant_id: tenantId || null, monthly_events: events, monthly_bytes: bytes };
}
