import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Costs, invoiceBill, shareBill, WEIGHTS } from '../src/billing/costs.ts';
import { FOCUS_COLUMNS, focusRows } from '../src/billing/focus.ts';
import type { Invoice } from '../src/billing/invoice.ts';
import { shareOut, shareParts } from '../src/billing/shares.ts';
import { parseMonth } from '../src/period.ts';
import { amountText, decimal, minorDigits, sum } from '../src/plans/money.ts';
import { renderCsv } from '../src/render/csv.ts';
import type { MeteredGroup } from '../src/reports/groups.ts';
import { focusFaults } from './helpers/focus.ts';
import { parseCsv } from './helpers/formats.ts';

const RUNS = { numRuns: 300, seed: 8 };
const total = (values: readonly bigint[]) => values.reduce((all, value) => all + value, 0n);
const weight = fc.oneof(fc.constant(0n), fc.bigInt(0n, 9n), fc.bigInt(0n, 2n ** 64n));
const weights = fc
  .array(weight, { minLength: 1, maxLength: 60 })
  .filter((some) => some.some((one) => one > 0n));
const amount = fc.oneof(fc.bigInt(-20n, 20n), fc.bigInt(-(10n ** 24n), 10n ** 24n));

describe('an amount that is shared out', () => {
  it('has no rest, and each share is the exact one, rounded up or down', () => {
    fc.assert(
      fc.property(amount, weights, (size, all) => {
        const shares = shareOut(size, all);
        const whole = total(all);
        expect(total(shares)).toBe(size);
        shares.forEach((share, i) => {
          const off = share * whole - size * (all[i] ?? 0n);
          expect(off < whole && off > -whole).toBe(true);
          if (all[i] === 0n) expect(share).toBe(0n);
          // Who weighs more has no less.
          all.forEach((other, j) => {
            if (size > 0n && other > (all[i] ?? 0n)) expect((shares[j] ?? 0n) >= share).toBe(true);
          });
        });
        expect(shareOut(-size, all)).toEqual(shares.map((share) => -share));
      }),
      RUNS,
    );
  });

  it('gives what is left to the largest remainders, and of equal ones to the first', () => {
    expect(shareOut(100n, [1n, 1n, 1n])).toEqual([34n, 33n, 33n]);
    expect(shareOut(2n, [1n, 1n, 1n])).toEqual([1n, 1n, 0n]);
    expect(shareOut(10n, [5n, 3n, 1n])).toEqual([6n, 3n, 1n]);
    expect(shareOut(-100n, [1n, 1n, 1n])).toEqual([-34n, -33n, -33n]);
    expect(shareOut(7n, [0n, 5n])).toEqual([0n, 7n]);
    expect(shareOut(0n, [3n, 4n])).toEqual([0n, 0n]);
    const many = shareOut(99_999n, Array<bigint>(7_000).fill(3n));
    expect(total(many)).toBe(99_999n);
    expect([many[0], many[6_999]]).toEqual([15n, 14n]);
  });
});

describe('a bill of parts that is shared out', () => {
  const parts = fc.array(amount, { minLength: 1, maxLength: 6 });
  it('has no rest in any part, and each group has what it would have of a bill of one part', () => {
    fc.assert(
      fc.property(parts, weights, (amounts, all) => {
        const shared = shareParts(amounts, all);
        const whole = total(all);
        expect(shared.map(total)).toEqual(amounts);
        const bill = shareOut(total(amounts), all);
        all.forEach((one, i) => {
          expect(total(shared.map((part) => part[i] ?? 0n))).toBe(bill[i]);
          amounts.forEach((size, at) => {
            const off = (shared[at]?.[i] ?? 0n) * whole - size * one;
            expect(off <= whole && off >= -whole).toBe(true);
            if (one === 0n) expect(shared[at]?.[i]).toBe(0n);
            // What is to be paid is no group's credit, and the other way round.
            expect((shared[at]?.[i] ?? 0n) * size >= 0n).toBe(true);
          });
        });
      }),
      RUNS,
    );
  });

  it('of one part is as an amount is, and no share of a part has the other sign', () => {
    expect(shareParts([100n], [1n, 1n, 1n])).toEqual([[34n, 33n, 33n]]);
    expect(shareParts([-100n], [1n, 1n, 1n])).toEqual([[-34n, -33n, -33n]]);
    // Each part by itself would give all three of its cents to the first.
    expect(shareParts([1n, 1n, 1n], [1n, 1n, 1n])).toEqual([
      [1n, 0n, 0n],
      [0n, 1n, 0n],
      [0n, 0n, 1n],
    ]);
    expect(shareParts([1n, -1n], [1n, 1n])).toEqual([
      [1n, 0n],
      [-1n, 0n],
    ]);
  });
});

/** Bills of every kind of part, in currencies of 0, 2 and 3 digits. */
const bill = fc
  .record({
    currency: fc.constantFrom('JPY', 'EUR', 'KWD'),
    usage: fc.bigInt(0n, 10n ** 15n),
    baseFee: fc.bigInt(0n, 10n ** 6n),
    minimum: fc.bigInt(0n, 10n ** 6n),
    late: fc.array(fc.bigInt(-(10n ** 9n), 10n ** 9n), { maxLength: 3 }),
  })
  .map(({ currency, usage, baseFee, minimum, late }): Invoice => {
    const money = (units: bigint) => decimal(units).times(decimal(`1e-${minorDigits(currency)}`));
    const line = (kind: 'usage' | 'base_fee' | 'minimum', units: bigint) => ({
      ...{ id: kind, charge: null, kind, dimension: null, eventTypes: null, model: null, quantity: null },
      ...{ packages: null, tier: null, per: null, unitPrice: null, amount: money(units), text: kind },
    });
    const lines = [line('usage', usage), line('base_fee', baseFee), line('minimum', minimum)];
    const adjustments = late.map((units, i) => ({
      ...{ month: `2026-0${i + 1}`, quantities: [], amount: money(units) },
    }));
    const subtotal = sum(lines.map((one) => one.amount));
    return {
      ...{
        tenant: '=cmd|acme',
        month: parseMonth('2026-10', new Date(0)),
        currency,
        lines,
        subtotal,
        adjustments,
      },
      ...{
        plan: { name: 'standard', version: 3 },
        digits: minorDigits(currency),
        open: false,
        projected: null,
      },
      total: sum([subtotal, ...adjustments.map((one) => one.amount)]),
    };
  });
const groups = fc
  .uniqueArray(
    fc.record({
      key: fc.oneof(
        fc.constantFrom('', '=1+1', '__proto__', '(none)', '\u202ex'),
        fc.string({ maxLength: 8 }),
      ),
      events: fc.bigInt(0n, 100n),
      bytes: weight,
    }),
    { maxLength: 40, selector: ({ key }) => key },
  )
  .map((all) =>
    all.map((one, i): MeteredGroup => {
      const none = i === 3;
      return { ...one, tenant: '=cmd|acme', key: none ? null : one.key, kind: none ? 'none' : 'value' };
    }),
  );

describe('a bill that is shared over groups', () => {
  it('adds up exactly, whatever it is made of and whatever the groups, also as it is printed', () => {
    fc.assert(
      fc.property(bill, groups, fc.constantFrom(...WEIGHTS), (invoice, all, by) => {
        const { rows, bill: shared } = shareBill(invoiceBill(invoice), all, by);
        expect(shared.total.eq(invoice.total)).toBe(true);
        const printed = rows.map((row) => decimal(amountText(row.amount, invoice)));
        expect(amountText(sum(printed), invoice)).toBe(amountText(invoice.total, invoice));
        shared.parts.forEach((part, at) => {
          expect(sum(rows.map((row) => row.shares[at] ?? decimal(0n))).eq(part.amount)).toBe(true);
        });
        // No group is lost; where none weighs anything, one more has it all.
        const isWeighed = all.some((group) => group[by] > 0n);
        expect(rows.length).toBe(all.length + (isWeighed ? 0 : 1));
        const [unattributed] = rows.filter(({ kind }) => kind === 'unattributed');
        expect(unattributed?.amount.eq(invoice.total)).toBe(isWeighed ? undefined : true);
        // The order in which the groups come changes nothing but ties.
        expect(shareBill(invoiceBill(invoice), all, by)).toEqual({ rows, bill: shared });
      }),
      RUNS,
    );
  });

  it('is as FOCUS 1.2 says in every row, and the rows add up to the bill', () => {
    const kinds = new Set<string>();
    const by = fc.constantFrom('service_id', 'event_type', 'attributes.team', 'attributes.__proto__');
    fc.assert(
      fc.property(bill, groups, fc.constantFrom(...WEIGHTS), by, (invoice, all, weightBy, groupBy) => {
        const named = groupBy === 'service_id' ? all.filter(({ key }) => key?.trim()) : all;
        const costs: Costs = {
          ...{
            tenantId: null,
            month: invoice.month,
            open: false,
            weight: weightBy,
            asOf: null,
            ...{ withoutPlan: [], billedLater: [] },
          },
          groupBy: groupBy as Costs['groupBy'],
          tenants: [shareBill(invoiceBill(invoice), named, weightBy)],
        };
        const csv = parseCsv(
          renderCsv({
            data: null,
            rows: focusRows(costs, 'Example GmbH'),
            columns: FOCUS_COLUMNS.map((key) => ({
              ...{ key, title: key, kind: /(Cost|Quantity)$/.test(key) ? 'number' : 'text' },
            })),
          }),
        );
        expect(focusFaults(csv)).toEqual([]);
        const [header = [], ...rows] = csv;
        const cell = (row: string[], name: string) => row[header.indexOf(name)] ?? '';
        expect(sum(rows.map((row) => decimal(cell(row, 'BilledCost')))).eq(invoice.total)).toBe(true);
        for (const row of rows) {
          kinds.add(`${cell(row, 'ChargeCategory')} ${cell(row, 'ChargeClass')}`.trim());
          expect(cell(row, 'BillingAccountId')).toBe("'=cmd|acme");
          for (const value of row) expect(value).not.toMatch(/^[=+@\t\r]|^-(?!\d+(\.\d+)?$)/);
          const tags = cell(row, 'Tags') && (JSON.parse(cell(row, 'Tags')) as object);
          if (groupBy === 'attributes.__proto__' && cell(row, 'x_GroupKind') === 'value')
            expect(Object.keys(tags)).toEqual(['__proto__']);
        }
        const purchases = rows.filter((row) => cell(row, 'ChargeCategory') === 'Purchase');
        if (purchases.length > 0)
          expect(sum(purchases.map((row) => decimal(cell(row, 'PricingQuantity')))).toFixed()).toBe('1');
      }),
      { ...RUNS, numRuns: 100 },
    );
    expect([...kinds].sort()).toEqual(['Adjustment', 'Purchase', 'Usage', 'Usage Correction']);
  });
});
