import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { invoiceJson, invoiceOf } from '../src/billing/invoice.ts';
import { parseMonth } from '../src/period.ts';
import { parsePlan } from '../src/plans/plan.ts';
import {
  type OracleCharge,
  type OracleFigures,
  type OraclePlan,
  oracle,
  written,
  yamlOf,
} from './helpers/invoice-oracle.ts';

const MAX = 2n ** 64n - 1n;
const NOW = new Date('2026-12-02T00:00:00Z');
const TYPES = ['metric', 'log', 'trace', 'event', 'profile', 'slo'];

const figures = (events: bigint, type = 'metric'): OracleFigures => ({
  ...{ type, events, bytesIngested: events * 7n, bytesReceived: events * 31n },
});

/** The invoice of the program, as JSON has it. */
async function invoice(plan: OraclePlan, of: OracleFigures[]) {
  const parsed = await parsePlan(yamlOf(plan), 'plan.yaml');
  const made = invoiceOf({ plan: parsed, version: 1 }, of, {
    ...{ tenant: 'acme-corp', month: parseMonth('2026-11', NOW), now: NOW },
  });
  return invoiceJson(made);
}

/** That the program's invoice is that of the oracle: the same lines, amounts and total, and it adds up. */
async function agree(plan: OraclePlan, of: OracleFigures[]) {
  const { lines, subtotal, total } = await invoice(plan, of);
  const expected = oracle(plan, of);
  expect(lines.map(({ line_id, amount }) => [line_id, amount])).toEqual(
    [...expected.lines].map(([id, amount]) => [id, written(amount, plan.digits)]),
  );
  expect({ subtotal, total }).toEqual({
    subtotal: written(expected.total, plan.digits),
    total: written(expected.total, plan.digits),
  });
  return lines;
}

const plan = (charges: OracleCharge[], rest: Partial<OraclePlan> = {}): OraclePlan => ({
  ...{ name: 'standard', currency: 'EUR', digits: 2, charges, ...rest },
});
const TIERS = [{ up_to: 1000n, price: '0.30' }, { up_to: 5000n, price: '0.2' }, { price: '0.1' }];
const events = (model: OracleCharge['model'], rest: Partial<OracleCharge>): OracleCharge => ({
  ...{ id: 'events', dimension: 'events', model, ...rest },
});

describe('a golden invoice', () => {
  it('of graduated tiers, a flat price, a package, a base fee and minimums', async () => {
    const whole = plan(
      [
        events('graduated', { event_types: ['metric'], tiers: TIERS, per: 1000n }),
        {
          id: 'logs',
          dimension: 'events',
          event_types: ['log'],
          model: 'package',
          per: 1000n,
          price: '1.50',
        },
        {
          id: 'stored',
          dimension: 'bytes_ingested',
          model: 'flat',
          per: 10n ** 9n,
          price: '0.25',
          minimum: '5.00',
        },
        {
          id: 'sent',
          dimension: 'bytes_received',
          model: 'flat',
          per: 10n ** 9n,
          price: '1',
          included: 10n ** 9n,
        },
      ],
      { base_fee: '49', minimum: '60.00' },
    );
    const of = [
      { type: 'metric', events: 7_500n, bytesIngested: 1_000_000_000n, bytesReceived: 3_000_000_000n },
      { type: 'log', events: 1_001n, bytesIngested: 500_000_000n, bytesReceived: 500_000_000n },
    ];
    const made = await invoice(whole, of);
    expect(
      made.lines.map((line) => [line.line_id, line.quantity, line.unit_price, line.amount, line.description]),
    ).toEqual([
      ['base_fee', null, null, '49.00', 'base fee'],
      ['events.1', 1_000n, '0.30', '0.30', 'graduated tier 1: up to 1,000'],
      ['events.2', 4_000n, '0.20', '0.80', 'graduated tier 2: 1,001 to 5,000'],
      ['events.3', 2_500n, '0.10', '0.25', 'graduated tier 3: over 5,000'],
      ['logs', 1_001n, '1.50', '3.00', '2 × package of 1,000'],
      ['stored', 1_500_000_000n, '0.25', '0.38', 'flat'],
      ['stored.minimum', null, null, '4.62', 'minimum commitment: what is missing to 5.00'],
      ['sent.included', 1_000_000_000n, '0.00', '0.00', 'included: up to 1,000,000,000'],
      ['sent', 2_500_000_000n, '1.00', '2.50', 'over 1,000,000,000'],
    ]);
    expect(made).toMatchObject({
      subtotal: '60.85',
      adjustments: [],
      total: '60.85',
      currency: 'EUR',
      open: false,
    });
    await agree(whole, of);
  });
});

describe('at the edges of tiers', () => {
  const QUANTITIES = [0n, 1n, 999n, 1000n, 1001n, 4999n, 5000n, 5001n];
  it.each([
    {
      model: 'graduated',
      expected: [
        ['events.1 0 0.00'],
        ['events.1 1 0.30'],
        ['events.1 999 299.70'],
        ['events.1 1000 300.00'],
        ['events.1 1000 300.00', 'events.2 1 0.20'],
        ['events.1 1000 300.00', 'events.2 3999 799.80'],
        ['events.1 1000 300.00', 'events.2 4000 800.00'],
        ['events.1 1000 300.00', 'events.2 4000 800.00', 'events.3 1 0.10'],
      ],
    },
    {
      model: 'volume',
      expected: [
        ['events.1 0 0.00'],
        ['events.1 1 0.30'],
        ['events.1 999 299.70'],
        ['events.1 1000 300.00'],
        ['events.2 1001 200.20'],
        ['events.2 4999 999.80'],
        ['events.2 5000 1000.00'],
        ['events.3 5001 500.10'],
      ],
    },
  ] as const)('of $model: its upper end is in a tier, one more is not', async ({ model, expected }) => {
    const tiered = plan([events(model, { tiers: TIERS })]);
    const found = [];
    for (const quantity of QUANTITIES) {
      const lines = await agree(tiered, [figures(quantity)]);
      found.push(lines.map(({ line_id, quantity: part, amount }) => `${line_id} ${part} ${amount}`));
      expect(lines.reduce((sum, line) => sum + (line.quantity ?? 0n), 0n)).toBe(quantity);
    }
    expect(found).toEqual(expected);
  });

  it('of a package: its last event does not begin the next', async () => {
    const packed = plan([events('package', { per: 1000n, price: '2' })]);
    const packages = async (quantity: bigint) => (await agree(packed, [figures(quantity)]))[0]?.packages;
    expect(await Promise.all([0n, 1n, 999n, 1000n, 1001n].map(packages))).toEqual([0n, 1n, 1n, 1n, 2n]);
  });

  it('of what is included: the first over it is charged', async () => {
    const free = plan([events('flat', { included: 1000n, price: '1' })]);
    const amounts = async (quantity: bigint) =>
      (await agree(free, [figures(quantity)])).map(({ line_id, quantity: part, amount }) => [
        line_id,
        part,
        amount,
      ]);
    expect(await amounts(999n)).toEqual([['events.included', 999n, '0.00']]);
    expect(await amounts(1000n)).toEqual([['events.included', 1000n, '0.00']]);
    expect(await amounts(1001n)).toEqual([
      ['events.included', 1000n, '0.00'],
      ['events', 1n, '1.00'],
    ]);
  });

  it('of a minimum: it tops up what is below it, by what is missing', async () => {
    const least = plan([events('flat', { price: '0.01', minimum: '1' })], { minimum: '3' });
    const ids = async (quantity: bigint) =>
      (await agree(least, [figures(quantity)])).map(({ line_id, amount }) => `${line_id} ${amount}`);
    expect(await ids(0n)).toEqual(['events 0.00', 'events.minimum 1.00', 'minimum 2.00']);
    expect(await ids(99n)).toEqual(['events 0.99', 'events.minimum 0.01', 'minimum 2.00']);
    expect(await ids(100n)).toEqual(['events 1.00', 'minimum 2.00']);
    expect(await ids(299n)).toEqual(['events 2.99', 'minimum 0.01']);
    expect(await ids(300n)).toEqual(['events 3.00']);
  });
});

describe('an amount', () => {
  it('is rounded half to even, once', async () => {
    const cents = async (price: string, per?: bigint) =>
      (await agree(plan([events('flat', { price, ...(per && { per }) })]), [figures(1n)]))[0]?.amount;
    expect(await cents('0.005')).toBe('0.00');
    expect(await cents('0.015')).toBe('0.02');
    expect(await cents('0.025')).toBe('0.02');
    expect(await cents('0.025000000001')).toBe('0.03');
    expect(await cents('0.024999999999')).toBe('0.02');
    // A third of 0.075 is 0.025, of 0.075000000001 a little more, which has no end.
    expect(await cents('0.075', 3n)).toBe('0.02');
    expect(await cents('0.075000000001', 3n)).toBe('0.03');
  });

  it('is that of decimals, not of binary floats', async () => {
    const [line] = await agree(plan([events('flat', { price: '0.1' })]), [figures(3n)]);
    expect(line).toMatchObject({ unit_price: '0.10', amount: '0.30' });
    // 1.005 is a little less as a double.
    const [exact] = await agree(plan([events('flat', { price: '1.005' })]), [figures(3n)]);
    expect(exact?.amount).toBe('3.02');
  });

  it('has the digits of its currency', async () => {
    const amount = async (currency: string, digits: number) =>
      (await agree(plan([events('flat', { price: '1.2345' })], { currency, digits }), [figures(1n)]))[0]
        ?.amount;
    expect(await amount('JPY', 0)).toBe('1');
    expect(await amount('EUR', 2)).toBe('1.23');
    expect(await amount('KWD', 3)).toBe('1.234');
    // By ISO 4217; ICU says how many are usual in cash.
    expect(await amount('IQD', 3)).toBe('1.234');
    expect(await amount('HUF', 2)).toBe('1.23');
    const [forint] = await agree(plan([events('flat', { price: '0.01' })], { currency: 'HUF' }), [
      figures(40n),
    ]);
    expect(forint).toMatchObject({ unit_price: '0.01', amount: '0.40' });
  });

  it('of more than 64 bits is exact', async () => {
    const huge = plan([
      events('graduated', {
        tiers: [{ up_to: MAX - 1n, price: '999999999999.999999999999' }, { price: '0.000000000001' }],
      }),
      { id: 'sent', dimension: 'bytes_received', model: 'flat', price: '0.000000000001', per: MAX },
    ]);
    const lines = await agree(
      huge,
      TYPES.map((type) => ({ type, events: MAX, bytesIngested: MAX, bytesReceived: MAX })),
    );
    expect(lines.map(({ quantity }) => quantity)).toEqual([MAX - 1n, 5n * MAX + 1n, 6n * MAX]);
  });
});

const price = fc
  .tuple(fc.bigInt(0n, 10n ** 6n), fc.integer({ min: 0, max: 12 }), fc.bigInt(0n, 10n ** 12n - 1n))
  .map(([whole, decimals, fraction]) =>
    decimals === 0 ? `${whole}` : `${whole % 100n}.${String(fraction).padStart(12, '0').slice(-decimals)}`,
  );
const quantity = fc.oneof(fc.bigInt(0n, 20n), fc.bigInt(0n, 100_000n), fc.bigInt(0n, MAX), fc.constant(MAX));
const positive = quantity.map((value) => (value === 0n ? 1n : value));
const ups = fc.uniqueArray(positive, { maxLength: 5 }).map((all) => all.sort((a, b) => (a < b ? -1 : 1)));
const tiers = fc
  .tuple(ups, fc.array(price, { minLength: 6, maxLength: 6 }))
  .map(([ends, prices]) => [
    ...ends.map((up_to, i) => ({ up_to, price: prices[i] ?? '0' })),
    { price: prices[5] ?? '0' },
  ]);
const optional = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(value).map((chosen) => (chosen === null ? {} : { [key]: chosen }));
const chargeOf = (fee: fc.Arbitrary<string>) =>
  fc
    .oneof(
      fc.record({ model: fc.constantFrom('graduated', 'volume'), tiers }),
      fc
        .tuple(
          fc.record({ model: fc.constantFrom('flat', 'package'), price }),
          optional('included', positive),
        )
        .map(([model, included]) => ({ ...model, ...included })),
    )
    .chain((model) =>
      fc
        .tuple(positive, optional('minimum', fee))
        .map(([per, minimum]) => ({ ...model, per, ...minimum }) as Omit<OracleCharge, 'id' | 'dimension'>),
    );
/** Any plan: for each dimension no charge, one of all types, or some of some types each. */
const plans = fc
  .constantFrom(['EUR', 2] as const, ['JPY', 0] as const, ['KWD', 3] as const)
  .chain(([currency, digits]) => {
    const fee = fc.bigInt(0n, 10n ** 9n).map((minor) => written(minor, digits));
    const of = (dimension: OracleCharge['dimension']) =>
      fc
        .tuple(
          fc.constantFrom<string[][]>([], [[]], [['log'], ['metric', 'trace']]),
          fc.array(chargeOf(fee), { minLength: 2, maxLength: 2 }),
        )
        .map(([groups, charges]) =>
          groups.map((types, i) => ({
            ...{ id: `${dimension}${i}`, dimension },
            ...(types.length > 0 && { event_types: types }),
            ...(charges[i] as Omit<OracleCharge, 'id' | 'dimension'>),
          })),
        );
    return fc
      .tuple(
        of('events'),
        of('bytes_ingested'),
        of('bytes_received'),
        optional('base_fee', fee),
        optional('minimum', fee),
      )
      .map(([a, b, c, base, minimum]): OraclePlan => {
        return { name: 'random', currency, digits, charges: [...a, ...b, ...c], ...base, ...minimum };
      });
  });
const usages = fc.array(
  fc.record({
    type: fc.constantFrom(...TYPES),
    events: quantity,
    bytesIngested: quantity,
    bytesReceived: quantity,
  }),
  { maxLength: 8 },
);

describe('any plan on any usage', () => {
  it('comes to what plain fractions come to, line by line and in all', async () => {
    await fc.assert(
      fc.asyncProperty(plans, usages, async (any, of) => {
        await agree(any, of);
      }),
      { seed: 20261126, numRuns: 400 },
    );
  });

  it('does not depend on the order of the figures, nor on how a type is divided among them', async () => {
    await fc.assert(
      fc.asyncProperty(plans, usages, fc.bigInt(0n, 100n), async (any, of, share) => {
        const halves = of.flatMap(({ type, ...counts }) => {
          const [first, second] = [share, 100n - share].map((part, i) => ({
            type,
            ...Object.fromEntries(
              Object.entries(counts).map(([key, all]) => [
                key,
                i === 0 ? (all * part) / 100n : all - (all * share) / 100n,
              ]),
            ),
          }));
          return [second, first] as OracleFigures[];
        });
        expect(await invoice(any, halves.reverse())).toEqual(await invoice(any, of));
      }),
      { seed: 7, numRuns: 100 },
    );
  });
});
