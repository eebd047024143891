import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { type Limits, readLimits } from '../alerts/status.ts';
import { InfrasageError } from '../errors.ts';
import { groupBy } from '../group-by.ts';
import type { Month } from '../period.ts';
import { type Catalog, PLANS_LOCK, readCatalog } from '../plans/catalog.ts';
import { rate, subtotal } from '../plans/rate.ts';
import { withRows } from '../store/row-lock.ts';
import type { Store } from '../store/store.ts';
import type { Step } from '../verify/verify.ts';
import { lockedPlan, type TenantAdjustment } from './adjustments.ts';
import { openAdjustments } from './bill.ts';
import { type Billed, writeBilled } from './billed.ts';
import { type ClosingRecord, type Closings, NOTHING, readClosings, record, type Totals } from './closings.ts';
import { monthFigures, type TypeFigures } from './figures.ts';
import { type Obstacle, obstacles } from './obstacles.ts';

/** What one closing or reopening does at a time. */
const LOCK = 'billing closings';

export interface Closed {
  closing: ClosingRecord;
  /** Whether it was closed before, and nothing was done. */
  already: boolean;
}

interface Deps {
  now: () => Date;
  onStep: (step: Step) => void;
}

/**
 * Closes a month: locks its figures, quotas and plans, and what it bills for earlier months. Killed in the middle,
 * nothing is closed: what was locked counts with the record in the log, which is written last.
 * @param override why it is closed whatever stands against it
 * @throws InfrasageError (exit 3) where the month is not over, another has to be closed before, or something stands
 *   against it
 */
export async function closeMonth(
  store: Store,
  month: Month,
  { override, now, onStep }: Deps & { override: string | undefined },
): Promise<Closed> {
  if (now() < month.period.end) {
    throw new InfrasageError(
      `${month.name} is not over: it can be closed from ${month.period.end.toISOString().slice(0, 10)} on (UTC)`,
      {
        hint: `see how it stands: infrasage billing --month ${month.name}`,
      },
    );
  }
  return store.exclusively(LOCK, async () => {
    const closings = await readClosings(store);
    const before = closings.of(month.name);
    if (before) return { closing: before, already: true };
    refuseGap(closings, month.name);
    const against = await obstacles(store, month, onStep);
    if (against.length > 0 && override === undefined) throw refused(month, against);
    const lock = () => lockMonth(store, month, { closings, against, override, now });
    // No batch is half there, and no plan changes between what is locked and the record that it is.
    const closing = await withRows(store, 'exclusive', () => store.exclusively(PLANS_LOCK, lock));
    return { closing, already: false };
  });
}

async function lockMonth(
  store: Store,
  month: Month,
  {
    closings,
    against,
    override = '',
    now,
  }: {
    closings: Closings;
    against: readonly Obstacle[];
    override: string | undefined;
    now: () => Date;
  },
): Promise<ClosingRecord> {
  const closingId = randomUUID();
  const billed = await billedOf(store, { closings, month, closingId, now: now() });
  await writeBilled(store, billed);
  const closing = {
    ...({ month: month.name, action: 'close', closingId, ...who() } as const),
    reason: against.length > 0 ? override : '',
    overridden: against.map(({ what }) => what),
    before: lastBilled(closings, month.name),
    after: totals(billed.filter((one) => one.month === month.name).flatMap(({ figures }) => figures)),
    at: now(),
  };
  return record(store, closings, closing);
}

/**
 * Opens the last closed month again: its bill is that of the current figures.
 * @param reason kept in the log
 * @throws InfrasageError (exit 3) where it is not closed, or a later one is, which may have billed what came late for it
 */
export async function reopenMonth(
  store: Store,
  month: Month,
  { reason, now }: { reason: string; now: () => Date },
): Promise<ClosingRecord> {
  return store.exclusively(LOCK, async () => {
    const closings = await readClosings(store);
    const closing = closings.of(month.name);
    if (!closing)
      throw new InfrasageError(`${month.name} is not closed`, {
        hint: 'see which are: infrasage billing history',
      });
    const last = closings.months.at(-1);
    if (last !== undefined && last !== month.name) {
      throw new InfrasageError(`${last} is closed too, and has billed what came late for ${month.name}`, {
        hint: `reopen the later month first: infrasage billing reopen ${last} --reason "…"`,
      });
    }
    const reopening = {
      ...({ month: month.name, action: 'reopen', closingId: closing.closingId, ...who(), reason } as const),
      ...{ overridden: [], before: closing.after, at: now() },
      after: totals(await monthFigures(store, { tenantId: null, month })),
    };
    return record(store, closings, reopening);
  });
}

/** What a closing bills: the month, by tenant, and what has changed of earlier ones. */
async function billedOf(
  store: Store,
  { closings, month, closingId, now }: { closings: Closings; month: Month; closingId: string; now: Date },
): Promise<Billed[]> {
  const limits = await readLimits(store, month.period.end);
  const catalog = await readCatalog(store);
  const figures = groupBy(await monthFigures(store, { tenantId: null, month }), ({ tenant }) => tenant);
  // Who has a plan pays its fees also for a month without events.
  const tenants = [...new Set([...figures.keys(), ...catalog.tenantsWithOwn(month)])].sort();
  const own: Billed[] = [];
  for (const tenant of tenants) {
    const theirs = figures.get(tenant) ?? [];
    own.push(await billedTo(tenant, theirs, { month, closingId, limits, catalog }));
  }
  const late = await openAdjustments(store, closings, { tenantId: null, month, now });
  return [...own, ...late.map((adjustment) => asBilled(adjustment, closingId))];
}

async function billedTo(
  tenant: string,
  figures: readonly TypeFigures[],
  {
    month,
    closingId,
    limits,
    catalog,
  }: { month: Month; closingId: string; limits: Limits; catalog: Catalog },
): Promise<Billed> {
  const inForce = await catalog.planOf(tenant, month);
  const lines = inForce ? rate(inForce.plan, figures) : null;
  return {
    ...{ closingId, tenant, month: month.name, figures },
    ...{ plan: inForce ? lockedPlan(inForce) : null, lines, amount: lines && subtotal(lines) },
    quota: limits.quotaOf(tenant),
    thresholds: limits.percentsOf(tenant),
  };
}

function asBilled({ tenant, month, quantities, plan, amount }: TenantAdjustment, closingId: string): Billed {
  const none = { quota: { events: null, bytes: null }, thresholds: [] };
  return { closingId, tenant, month, figures: quantities, plan, lines: null, amount, ...none };
}

/** Closed months follow each other: what comes late for one is billed with the first open one after them. */
function refuseGap({ neighbours, months }: Closings, name: string): void {
  if (!neighbours || name === neighbours.before || name === neighbours.after) return;
  const next = name > neighbours.after ? neighbours.after : neighbours.before;
  const closed = months.length === 1 ? `${months[0]} is` : `${months[0]} to ${months.at(-1)} are`;
  throw new InfrasageError(
    `${next} has to be closed first: closed months follow each other, and now ${closed} closed`,
    { hint: `infrasage billing close ${next}` },
  );
}

function refused({ name }: Month, against: readonly Obstacle[]): InfrasageError {
  const mends = [...new Set(against.map(({ mend }) => mend))].join('; ');
  return new InfrasageError(`${name} is not closed: ${against.map(({ what }) => what).join('; ')}`, {
    hint: `${mends}; or close it all the same: infrasage billing close ${name} --override "the reason, which is kept"`,
  });
}

/** What was billed for a month when it was last closed. */
function lastBilled({ log }: Closings, month: string): Totals {
  return log.findLast((one) => one.month === month && one.action === 'close')?.after ?? NOTHING;
}

function totals(figures: readonly Totals[]): Totals {
  return figures.reduce<Totals>(
    (all, one) => ({
      events: all.events + one.events,
      bytesIngested: all.bytesIngested + one.bytesIngested,
      bytesReceived: all.bytesReceived + one.bytesReceived,
    }),
    NOTHING,
  );
}

function who(): { user: string; host: string } {
  return { user: userName(), host: hostname() };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in the system's table, as in some containers.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
