import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import type { Principal } from './roles.ts';

/** An API key as it is kept: what it was is known to its owner alone. */
export interface ApiKey {
  id: string;
  tenantId: string;
  /** What it is for, in its owner's words; may be empty. */
  name: string;
  createdAt: Date;
  /** null while it is valid. */
  revokedAt: Date | null;
}

const KEY = /^isage_[A-Za-z0-9_-]{43}$/;

/** How long a key that was valid is taken for valid without a look at the store, ms. */
const FRESH = 2_000;
/** How long a key that is not known is refused without a look at the store, ms. */
const FRESH_ENOUGH_TO_REFUSE = 250;

const storedKey = z
  .object({
    id: z.string(),
    tenant_id: z.string(),
    name: z.string(),
    hash: z.string(),
    revoked: z.coerce.boolean(),
    version: uint64,
    created_at: utcTime,
    changed_at: utcTime,
  })
  .transform((row) => ({
    id: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    hash: row.hash,
    version: row.version,
    createdAt: row.created_at,
    revokedAt: row.revoked ? row.changed_at : null,
  }));
type StoredKey = z.infer<typeof storedKey>;

const SELECT = `SELECT id, tenant_id, name, hash, revoked, version, created_at, changed_at
    FROM {{db}}.infrasage_api_keys FINAL`;

/**
 * Makes a key for a tenant.
 * @returns the key itself, which is kept nowhere, and what is kept of it
 */
export async function createKey(
  store: Store,
  { tenantId, name }: { tenantId: string; name: string },
  { now, random }: { now: Date; random: (size: number) => Buffer },
): Promise<{ key: string; kept: ApiKey }> {
  const key = `isage_${random(32).toString('base64url')}`;
  const kept = { id: random(6).toString('hex'), tenantId, name, createdAt: now, revokedAt: null };
  await put(store, { ...kept, hash: hashOf(key), version: 1n });
  return { key, kept };
}

/** The keys of a tenant or of all, revoked ones too, oldest first. */
export async function listKeys(store: Store, tenantId: string | null): Promise<ApiKey[]> {
  return store.query(
    `${SELECT} ${tenantId === null ? '' : 'WHERE tenant_id = {tenant:String}'} ORDER BY created_at, id`,
    storedKey,
    { tenant: tenantId ?? '' },
  );
}

/**
 * Makes a key invalid, for good.
 * @returns the key; undefined where there is none with this id
 */
export async function revokeKey(
  store: Store,
  { id, tenantId, now }: { id: string; tenantId: string | null; now: Date },
): Promise<ApiKey | undefined> {
  const [found] = await store.query(
    `${SELECT} WHERE id = {id:String} ${tenantId === null ? '' : 'AND tenant_id = {tenant:String}'}`,
    storedKey,
    { id, tenant: tenantId ?? '' },
  );
  if (!found || found.revokedAt) return found;
  const revoked = { ...found, revokedAt: now, version: found.version + 1n };
  await put(store, revoked);
  return revoked;
}

async function put(store: Store, key: StoredKey): Promise<void> {
  await store.insert('infrasage_api_keys', {
    id: key.id,
    tenant_id: key.tenantId,
    name: key.name,
    hash: key.hash,
    revoked: key.revokedAt ? 1 : 0,
    version: key.version,
    created_at: sqlTime(key.createdAt),
    changed_at: sqlTime(key.revokedAt ?? key.createdAt),
  });
}

/** The documented JSON shape. */
export function keyJson({ id, tenantId, name, createdAt, revokedAt }: ApiKey) {
  return {
    id,
    tenant_id: tenantId,
    name,
    created_at: createdAt.toISOString(),
    revoked_at: revokedAt?.toISOString() ?? null,
  };
}

/**
 * The keys that are valid, kept in memory for at most two seconds: a revoked key is refused by then, and no
 * request with a made-up one costs a query of its own.
 */
export class KeyRing {
  readonly #store: Store;
  #principals: ReadonlyMap<string, Principal> = new Map();
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Who a key is of; undefined where it is not valid. */
  async find(key: string, now: Date): Promise<Principal | undefined> {
    if (!KEY.test(key)) return undefined;
    const hash = hashOf(key);
    const age = now.getTime() - this.#readAt;
    const fresh = age >= 0 && age < (this.#principals.has(hash) ? FRESH : FRESH_ENOUGH_TO_REFUSE);
    if (!fresh) {
      this.#reading ??= this.#read(now).finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#principals.get(hash);
  }

  async #read(now: Date): Promise<void> {
    const rows = await this.#store.query(`${SELECT} WHERE NOT revoked`, storedKey);
    this.#principals = new Map(
      rows.map(({ hash, tenantId }) => [hash, { tenantId, role: 'api key' } as const]),
    );
    this.#readAt = now.getTime();
  }
}

/** 256 random bits need no slow hash: nothing but the key itself finds it. */
function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
