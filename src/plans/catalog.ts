import { z } from 'zod';
import { ownOrDefault } from '../alerts/own.ts';
import { InfrasageError } from '../errors.ts';
import { groupBy } from '../group-by.ts';
import type { Month } from '../period.ts';
import { type Store, sqlTime, uint64, utcTime } from '../store/store.ts';
import { type Plan, parseStoredPlan } from './plan.ts';

/** A version of a plan. */
export interface PlanVersion {
  name: string;
  /** From 1. */
  version: bigint;
  /** The first month that it is for: `2026-11`. */
  effectiveFrom: string;
  /** YAML, as it was applied. */
  text: string;
  at: Date;
}

/** Which plan a tenant has from a month on. */
export interface Assignment {
  /** '' is the default for every tenant without a plan of its own. */
  tenantId: string;
  version: bigint;
  /** null: none of its own from then on. */
  plan: string | null;
  effectiveFrom: string;
  at: Date;
}

/** The plan that a month of a tenant is billed by. */
export interface PlanInForce {
  plan: Plan;
  version: number;
  /** Whose it is: the tenant's own, or with '' the default. */
  owner: string;
  /** What the plan was read from. */
  text: string;
}

/** What months are billed by: every version of every plan, and who has which. */
export class Catalog {
  readonly versions: readonly PlanVersion[];
  readonly assignments: readonly Assignment[];
  readonly #versionsOf: ReadonlyMap<string, readonly PlanVersion[]>;
  readonly #assignmentsOf: ReadonlyMap<string, readonly Assignment[]>;
  readonly #parsed = new Map<PlanVersion, Promise<Plan>>();

  /** @param rows each in the order of their versions */
  constructor(rows: { versions: readonly PlanVersion[]; assignments: readonly Assignment[] }) {
    this.versions = rows.versions;
    this.assignments = rows.assignments;
    // Every tenant may have an assignment, and each is asked for.
    this.#versionsOf = groupBy(rows.versions, ({ name }) => name);
    this.#assignmentsOf = groupBy(rows.assignments, ({ tenantId }) => tenantId);
  }

  /** Names of all plans. */
  get names(): string[] {
    return [...this.#versionsOf.keys()].sort();
  }

  /** The version of a plan that a month has; undefined where it begins later, or is not there. */
  version(name: string, month: string): PlanVersion | undefined {
    return inForce(this.#versionsOf.get(name) ?? [], month);
  }

  /** The assignment of exactly this tenant, or with '' the default; undefined where it has none in that month. */
  own(tenantId: string, month: string): Assignment | undefined {
    const last = inForce(this.#assignmentsOf.get(tenantId) ?? [], month);
    return last?.plan == null ? undefined : last;
  }

  /** The plan that a tenant's month is billed by, its own or the default; undefined where there is none. */
  async planOf(tenantId: string, { name: month }: Pick<Month, 'name'>): Promise<PlanInForce | undefined> {
    const assigned = ownOrDefault((owner) => this.own(owner, month), tenantId);
    const found = assigned?.plan == null ? undefined : this.version(assigned.plan, month);
    if (!assigned || !found) return undefined;
    const { version, text } = found;
    return { plan: await this.#parse(found), version: Number(version), owner: assigned.tenantId, text };
  }

  /** Whether a month of anybody would be billed by a plan, of this name. */
  isAssigned(name: string, month: string): boolean {
    return [...this.#assignmentsOf.keys()].some((tenantId) => this.own(tenantId, month)?.plan === name);
  }

  /** Tenants that have a plan of their own in a month. */
  tenantsWithOwn({ name: month }: Pick<Month, 'name'>): string[] {
    const tenants = [...this.#assignmentsOf.keys()].sort();
    return tenants.filter((tenant) => tenant !== '' && this.own(tenant, month) !== undefined);
  }

  #parse(version: PlanVersion): Promise<Plan> {
    let parsed = this.#parsed.get(version);
    if (!parsed) {
      parsed = parseStoredPlan(version.text, `${version.name} (version ${version.version})`);
      this.#parsed.set(version, parsed);
    }
    return parsed;
  }
}

/** Of rows in the order of their versions, the one in force: the latest of the latest month that is not after it. */
function inForce<Row extends { effectiveFrom: string }>(
  rows: readonly Row[],
  month: string,
): Row | undefined {
  let found: Row | undefined;
  for (const row of rows) {
    if (row.effectiveFrom > month) continue;
    if (found === undefined || row.effectiveFrom >= found.effectiveFrom) found = row;
  }
  return found;
}

/**
 * Everything there is.
 * @param asOf what there was at this time
 */
export async function readCatalog(store: Pick<Store, 'query'>, asOf?: Date): Promise<Catalog> {
  const [versions, assignments] = await Promise.all([
    store.query(
      `SELECT name, version, effective_from, text, changed_at
      FROM {{db}}.infrasage_price_plans FINAL ORDER BY name, version`,
      z
        .object({
          ...{ name: z.string(), version: uint64, effective_from: z.string(), text: z.string() },
          changed_at: utcTime,
        })
        .transform(({ effective_from, changed_at, ...row }): PlanVersion => {
          return { ...row, effectiveFrom: effective_from, at: changed_at };
        }),
    ),
    store.query(
      `SELECT tenant_id, version, plan, effective_from, changed_at
      FROM {{db}}.infrasage_plan_assignments FINAL ORDER BY tenant_id, version`,
      z
        .object({
          ...{ tenant_id: z.string(), version: uint64, plan: z.string(), effective_from: z.string() },
          changed_at: utcTime,
        })
        .transform(({ tenant_id, version, plan, effective_from, changed_at }): Assignment => {
          return {
            ...{ tenantId: tenant_id, version, plan: plan || null, effectiveFrom: effective_from },
            at: changed_at,
          };
        }),
    ),
  ]);
  const known = ({ at }: { at: Date }) => !asOf || at <= asOf;
  return new Catalog({ versions: versions.filter(known), assignments: assignments.filter(known) });
}

/** What one change of the catalog does at a time, and what must not meet one half made. */
export const PLANS_LOCK = 'plans';

/** From when on something is to be in force. */
interface From {
  month: Month;
  /** Names of the months that are closed by then. */
  closed: () => Promise<readonly string[]>;
}

/**
 * Makes a text the version of its plan that is in force from a month on, up to the next month that has one of its own.
 * @returns the version; changed is false where that month has the same text already
 * @throws InfrasageError (exit 3) where somebody would have it in a closed month
 */
export async function applyPlan(
  store: Store,
  { plan, text, month, closed, now }: { plan: Plan; text: string; now: Date } & From,
): Promise<{ version: PlanVersion; changed: boolean }> {
  return store.exclusively(PLANS_LOCK, async () => {
    const catalog = await readCatalog(store);
    const before = catalog.version(plan.name, month.name);
    if (before?.text === text) return { version: before, changed: false };
    const versions = catalog.versions.filter(({ name }) => name === plan.name);
    const months = (await closed()).filter((name) => catalog.isAssigned(plan.name, name));
    refuseClosed(versions, { month, closed: months });
    const last = catalog.versions.findLast(({ name }) => name === plan.name);
    const version: PlanVersion = {
      ...{ name: plan.name, version: (last?.version ?? 0n) + 1n, effectiveFrom: month.name, text, at: now },
    };
    await store.insert('infrasage_price_plans', {
      ...{ name: version.name, version: version.version, effective_from: month.name, text },
      changed_at: sqlTime(now),
    });
    return { version, changed: true };
  });
}

/**
 * Gives a tenant a plan from a month on, or with tenantId '' every tenant that has none of its own; with plan null,
 * takes it away.
 * @returns the assignment; changed is false where that month has it already
 * @throws InfrasageError (exit 2) where there is no such plan, or none yet in that month; (exit 3) where a closed month
 *   would have it
 */
export async function assignPlan(
  store: Store,
  { tenantId, plan, month, closed, now }: { tenantId: string; plan: string | null; now: Date } & From,
): Promise<{ assignment: Assignment; changed: boolean }> {
  return store.exclusively(PLANS_LOCK, async () => {
    const catalog = await readCatalog(store);
    if (plan !== null) assertThere(catalog, { name: plan, month });
    const own = catalog.own(tenantId, month.name);
    const last = catalog.assignments.findLast((one) => one.tenantId === tenantId);
    const assignment: Assignment = {
      ...{ tenantId, version: (last?.version ?? 0n) + 1n, plan, effectiveFrom: month.name, at: now },
    };
    if ((own?.plan ?? null) === plan) return { assignment: own ?? assignment, changed: false };
    const assignments = catalog.assignments.filter((one) => one.tenantId === tenantId);
    refuseClosed(assignments, { month, closed: await closed() });
    await store.insert('infrasage_plan_assignments', {
      ...{ tenant_id: tenantId, version: assignment.version, plan: plan ?? '', effective_from: month.name },
      changed_at: sqlTime(now),
    });
    return { assignment, changed: true };
  });
}

/** Refuses what would be in force in a closed month: from its own month on, up to the next that has one of its own. */
function refuseClosed(
  rows: readonly { effectiveFrom: string }[],
  { month: { name: month }, closed }: { month: Month; closed: readonly string[] },
): void {
  const changes = (name: string) =>
    name >= month && !rows.some(({ effectiveFrom }) => effectiveFrom > month && effectiveFrom <= name);
  const last = closed.filter(changes).sort().at(-1);
  if (last === undefined) return;
  throw new InfrasageError(`${last} is closed, and stays billed as it was`, {
    hint: `give a month after it (--from), or open it again: infrasage billing reopen ${last} --reason "…"`,
  });
}

function assertThere(catalog: Catalog, { name, month }: { name: string; month: Month }): void {
  const versions = catalog.versions.filter((one) => one.name === name);
  if (versions.length === 0) throw unknownPlan(catalog, name);
  if (catalog.version(name, month.name)) return;
  const first = versions.map(({ effectiveFrom }) => effectiveFrom).sort()[0];
  throw new InfrasageError(`${name} is in force from ${first}, not yet in ${month.name}`, {
    ...{ hint: `infrasage plans apply FILE --from ${month.name}, or assign it from ${first}`, exitStatus: 2 },
  });
}

/** Says that there is no such plan, and which there are. */
export function unknownPlan({ names }: Catalog, name: string): InfrasageError {
  const shown = names.slice(0, 10).join(', ');
  const hint = names.length === 0 ? 'infrasage plans apply plan.yaml' : `there are: ${shown}`;
  return new InfrasageError(`there is no plan ${name}`, { hint, exitStatus: 2 });
}
