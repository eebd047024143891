import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SilenceAlert, UsageAlert } from '../src/alerts/alerts.ts';
import { evaluateUsage, type FiredUsage, type MonthUsage, pacing } from '../src/alerts/evaluate.ts';
import { type QuotaChange, Quotas } from '../src/alerts/quotas.ts';
import { evaluateSilence, type LastSilence } from '../src/alerts/silence.ts';
import { parseMonth } from '../src/period.ts';

const DAY = 86_400_000;
const START = Date.parse('2026-08-20T00:00:00Z');
const TENANTS = ['acme', 'globex', 'initech'];
const CHANNELS = { email: null, slack: false, webhook: null, version: 1n, removedAt: null };

/** What may happen, one after the other. */
type Step =
  | { do: 'wait'; days: number }
  | { do: 'ingest'; tenant: string; monthsAgo: number; events: number; bytes: number }
  | { do: 'quota'; tenant: string; events: number | null; bytes: number | null }
  | { do: 'add'; tenant: string; percent: number }
  | { do: 'remove'; index: number }
  /** crash: the process is gone before what it found is written. */
  | { do: 'evaluate'; crash: boolean };

const tenantOrAll = fc.constantFrom('', ...TENANTS);
const limit = fc.option(fc.integer({ min: 1, max: 300 }), { nil: null });
const percent = fc.oneof(
  fc.constantFrom(50, 80, 95, 100),
  fc.integer({ min: 100, max: 100_000 }).map((hundredths) => hundredths / 100),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      days: fc.double({ min: 0, max: 20, noNaN: true }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('ingest' as const),
      tenant: fc.constantFrom(...TENANTS),
      monthsAgo: fc.constantFrom(0, 0, 0, 1, 2),
      events: fc.integer({ min: 1, max: 60 }),
      bytes: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('quota' as const),
      tenant: tenantOrAll,
      events: limit,
      bytes: limit,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('add' as const), tenant: tenantOrAll, percent }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), index: fc.nat(5) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('evaluate' as const), crash: fc.boolean() }) },
);

/** A month name some months before a time. */
function monthName(now: number, monthsAgo: number): string {
  const date = new Date(now);
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - monthsAgo, 1))
    .toISOString()
    .slice(0, 7);
}

/** The world as an independent bookkeeper sees it: plain lists, looked through from the start each time. */
class World {
  now = START;
  readonly changes: QuotaChange[] = [];
  readonly alerts: UsageAlert[] = [];
  readonly usage = new Map<string, MonthUsage>();
  readonly fired: (FiredUsage & { quota: bigint })[] = [];

  /** The limit in force at the end of a month, or now where it is not over. */
  limit(tenantId: string, month: string, dimension: 'events' | 'bytes'): bigint | null {
    const end = parseMonth(month, new Date(this.now)).period.end.getTime();
    const until = end <= this.now ? end : Number.POSITIVE_INFINITY;
    const last = (of: string) => {
      const own = this.changes
        .filter((change) => change.tenantId === of && change.at.getTime() < until)
        .pop();
      return own && (own.events !== null || own.bytes !== null) ? own : undefined;
    };
    return (last(tenantId) ?? last(''))?.[dimension] ?? null;
  }

  percents(tenantId: string, month: string): number[] {
    const end = parseMonth(month, new Date(this.now)).period.end.getTime();
    const there = this.alerts.filter(({ createdAt, removedAt }) =>
      end > this.now
        ? removedAt === null
        : createdAt.getTime() < end && (removedAt === null || removedAt.getTime() >= end),
    );
    const own = there.filter((alert) => alert.tenantId === tenantId);
    return (own.length > 0 ? own : there.filter((alert) => alert.tenantId === '')).map((a) => a.percent);
  }

  evaluate() {
    return evaluateUsage({
      quotas: new Quotas(this.changes),
      alerts: this.alerts,
      usage: [...this.usage.values()],
      fired: this.fired,
      now: new Date(this.now),
    });
  }
}

/** used / quota >= percent / 100, in whole numbers. */
function reaches(used: bigint, quota: bigint, percent: number): boolean {
  return used * 10_000n >= quota * BigInt(Math.round(percent * 100));
}

function apply(world: World, step: Step): void {
  switch (step.do) {
    case 'wait':
      world.now += Math.floor(step.days * DAY) + 1;
      return;
    case 'ingest': {
      const month = monthName(world.now, step.monthsAgo);
      const key = `${step.tenant} ${month}`;
      const before = world.usage.get(key) ?? { tenantId: step.tenant, month, events: 0n, bytes: 0n };
      world.usage.set(key, {
        ...before,
        events: before.events + BigInt(step.events),
        bytes: before.bytes + BigInt(step.bytes),
      });
      return;
    }
    case 'quota': {
      const of = (value: number | null) => (value === null ? null : BigInt(value));
      world.changes.push({
        tenantId: step.tenant,
        events: of(step.events),
        bytes: of(step.bytes),
        at: new Date(world.now),
      });
      world.now += 1;
      return;
    }
    case 'add': {
      if (world.alerts.some((a) => !a.removedAt && a.tenantId === step.tenant && a.percent === step.percent))
        return;
      const id = `${step.tenant}-${step.percent}-${world.now}`;
      const createdAt = new Date(world.now);
      world.alerts.push({
        kind: 'usage',
        id,
        tenantId: step.tenant,
        percent: step.percent,
        createdAt,
        ...CHANNELS,
      });
      world.now += 1;
      return;
    }
    case 'remove': {
      const alert = world.alerts[step.index];
      if (alert && !alert.removedAt) world.alerts[step.index] = { ...alert, removedAt: new Date(world.now) };
      world.now += 1;
      return;
    }
    case 'evaluate':
      evaluateAndCheck(world, step.crash);
  }
}

function evaluateAndCheck(world: World, crash: boolean): void {
  const firings = world.evaluate();
  for (const { tenantId, month, dimension, used, quota, alert } of firings) {
    // Never early, nor for another month's usage or quota.
    expect(used).toBe(world.usage.get(`${tenantId} ${month}`)?.[dimension]);
    expect(quota).toBe(world.limit(tenantId, month, dimension));
    expect(reaches(used, quota, alert.percent)).toBe(true);
    expect(world.percents(tenantId, month)).toContain(alert.percent);
    // Never twice: what an earlier firing reported had not reached what it takes now.
    const before = world.fired.filter(
      (f) =>
        f.tenantId === tenantId &&
        f.month === month &&
        f.dimension === dimension &&
        f.percent === alert.percent,
    );
    for (const earlier of before) {
      expect(reaches(earlier.used, quota, alert.percent)).toBe(false);
      // And so only after the quota was raised.
      expect(quota > earlier.quota).toBe(true);
    }
  }
  expect(new Set(firings.map(({ id }) => id)).size).toBe(firings.length);
  // Found again, it is the same; a crash before it is written changes nothing.
  expect(world.evaluate()).toEqual(firings);
  if (crash) return;
  for (const { tenantId, month, dimension, used, quota, alert } of firings) {
    world.fired.push({ tenantId, month, dimension, used, quota, percent: alert.percent });
  }
  expect(world.evaluate()).toEqual([]);
  // Never missed: whatever is reached has been reported.
  for (const { tenantId, month, ...used } of world.usage.values()) {
    for (const dimension of ['events', 'bytes'] as const) {
      const quota = world.limit(tenantId, month, dimension);
      if (quota === null) continue;
      for (const at of world.percents(tenantId, month).filter((p) => reaches(used[dimension], quota, p))) {
        const reported = world.fired.some(
          (f) =>
            f.tenantId === tenantId &&
            f.month === month &&
            f.dimension === dimension &&
            f.percent === at &&
            reaches(f.used, quota, at),
        );
        expect(reported, `${tenantId} ${month} ${dimension} ${at} %`).toBe(true);
      }
    }
  }
}

describe('usage alerts', () => {
  it('fire never early, never twice and are never missed, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const world = new World();
        for (const one of steps) apply(world, one);
        evaluateAndCheck(world, false);
      }),
      { numRuns: 2_000 },
    );
  });

  const alert = (percent: number, createdAt = '2026-01-01'): UsageAlert => ({
    ...{ kind: 'usage', id: `at-${percent}`, tenantId: '', percent, createdAt: new Date(createdAt) },
    ...CHANNELS,
  });
  const quota = (events: bigint, at: string): QuotaChange => ({
    tenantId: '',
    events,
    bytes: null,
    at: new Date(at),
  });
  const month = (name: string, events: bigint): MonthUsage => ({
    tenantId: 'acme',
    month: name,
    events,
    bytes: 0n,
  });
  const now = new Date('2026-11-24T12:00:00Z');

  it('at a level that is no whole number of events, at the first event that reaches it', () => {
    const of = (events: bigint) =>
      evaluateUsage({
        ...{ quotas: new Quotas([quota(3n, '2026-01-01')]), alerts: [alert(50)], fired: [], now },
        usage: [month('2026-11', events)],
      }).map(({ level }) => level);
    expect([of(1n), of(2n)]).toEqual([[], [2n]]);
  });

  it('for a month that is over: by what was in force at its end', () => {
    const firings = evaluateUsage({
      quotas: new Quotas([quota(100n, '2026-10-20'), quota(10n, '2026-11-02')]),
      alerts: [alert(50), alert(80, '2026-11-01')],
      usage: [month('2026-09', 1_000n), month('2026-10', 85n), month('2026-11', 9n)],
      fired: [],
      now,
    });
    expect(firings.map(({ month, alert, quota }) => [month, alert.percent, quota])).toEqual([
      ['2026-10', 50, 100n],
      ['2026-11', 50, 10n],
      ['2026-11', 80, 10n],
    ]);
  });

  it('not for a month that has not begun', () => {
    expect(
      evaluateUsage({
        ...{ quotas: new Quotas([quota(1n, '2026-01-01')]), alerts: [alert(50)], fired: [], now },
        usage: [month('2026-12', 5n)],
      }),
    ).toEqual([]);
  });

  it.each([
    { used: 50n, at: '2026-11-11T00:00:00Z', expected: { percent: 50, daysLeft: 20, fullAt: '2026-11-21' } },
    { used: 30n, at: '2026-11-11T00:00:00Z', expected: { percent: 30, daysLeft: 20, fullAt: null } },
    { used: 100n, at: '2026-11-30T23:59:59Z', expected: { percent: 100, daysLeft: 1, fullAt: null } },
    { used: 0n, at: '2026-11-01T00:00:00Z', expected: { percent: 0, daysLeft: 30, fullAt: null } },
    { used: 99n, at: '2026-12-05T00:00:00Z', expected: { percent: 99, daysLeft: 0, fullAt: null } },
  ])('the pace of $used of 100 at $at', ({ used, at, expected }) => {
    const { percent, daysLeft, fullAt } = pacing({
      ...{ used, quota: 100n, now: new Date(at) },
      month: parseMonth('2026-11', new Date(at)),
    });
    expect({ percent, daysLeft, fullAt: fullAt?.toISOString().slice(0, 10) ?? null }).toEqual(expected);
  });
});

describe('silence alerts', () => {
  const HOURS = 3_600_000;
  const alert: SilenceAlert = {
    ...{
      kind: 'silence',
      id: 's',
      tenantId: '',
      serviceId: '',
      silentSeconds: 7_200,
      createdAt: new Date(START),
    },
    ...CHANNELS,
  };

  it('fire once when nothing came for so long, and once when something comes again', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ minutes: fc.integer({ min: 1, max: 200 }), sends: fc.boolean() }), {
          minLength: 1,
          maxLength: 60,
        }),
        (steps) => {
          let now = START;
          let last = START;
          let silent = false;
          const fired: LastSilence[] = [];
          for (const { minutes, sends } of steps) {
            now += minutes * 60_000;
            if (sends) last = now;
            const found = evaluateSilence({
              alerts: [alert],
              heard: [{ tenantId: 'acme', serviceId: '', at: new Date(last) }],
              last: fired.slice(-1),
              now: new Date(now),
            });
            // After a week it is gone: no silence begins, but one that has begun goes on.
            const isSilent: boolean = now - last >= 2 * HOURS && (silent || now - last < 7 * 24 * HOURS);
            const expected = isSilent === silent ? [] : [isSilent ? 'silent' : 'recovered'];
            expect(found.map(({ kind }) => kind)).toEqual(expected);
            for (const { kind } of found)
              fired.push({ kind, alertId: 's', tenantId: 'acme', lastEventAt: new Date(last) });
            silent = isSilent;
          }
        },
      ),
    );
  });

  it("a tenant's own replace the default ones; a service is not its tenant", () => {
    const own: SilenceAlert = { ...alert, id: 'own', tenantId: 'acme', serviceId: 'api', silentSeconds: 60 };
    const at = new Date(START - 3 * HOURS);
    const found = evaluateSilence({
      alerts: [alert, own],
      heard: [
        { tenantId: 'acme', serviceId: '', at },
        { tenantId: 'acme', serviceId: 'api', at },
        { tenantId: 'globex', serviceId: '', at },
        { tenantId: 'globex', serviceId: 'api', at },
        { tenantId: 'gone', serviceId: '', at: new Date(START - 8 * 24 * HOURS) },
      ],
      last: [],
      now: new Date(START),
    });
    expect(found.map(({ tenantId, alert }) => [tenantId, alert.id])).toEqual([
      ['acme', 'own'],
      ['globex', 's'],
    ]);
  });
});
