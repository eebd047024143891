import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InfrasageError } from '../src/errors.ts';
import { type Assignment, Catalog, type PlanVersion } from '../src/plans/catalog.ts';
import { CURRENCIES } from '../src/plans/currencies.ts';
import { amountText } from '../src/plans/money.ts';
import { parsePlan, parseStoredPlan } from '../src/plans/plan.ts';

const HEAD = 'name: standard\ncurrency: EUR\n';
/** A plan with one charge of events; its first line is the 4th of the file. */
const charge = (text: string) =>
  `${HEAD}charges:\n  - dimension: events\n    ${text.replaceAll('\n', '\n    ')}\n`;
const priced = (price: string) => charge(`model: flat\nprice: ${price}`);
const tiered = (tiers: string) => charge(`model: graduated\ntiers:\n${tiers}`);

/** What is said of a plan that is refused: line and reason. */
async function refused(yaml: string): Promise<string> {
  const error = await parsePlan(yaml, 'plan.yaml').then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InfrasageError);
  expect(error).toMatchObject({ exitStatus: 2 });
  const { message } = error as InfrasageError;
  expect(message).toMatch(/^plan\.yaml(:\d+:)? /);
  return message.slice('plan.yaml:'.length);
}

describe('a price', () => {
  it.each([
    ['0.1', '0.1'],
    ['"0.10"', '0.1'],
    ["'12'", '12'],
    ['0.000000000001', '0.000000000001'],
    ['999999999999.999999999999', '999999999999.999999999999'],
    ['0', '0'],
    ['0.30 # a comment', '0.3'],
  ])('of %s is read exactly', async (text, expected) => {
    const plan = await parsePlan(priced(text), 'plan.yaml');
    expect(plan.charges[0]?.tiers[0]?.price.toFixed()).toBe(expected);
  });

  it.each(
    [
      ...[
        '1e-7',
        '.5',
        '0x10',
        '1_000',
        '+1',
        '1,5',
        '007',
        '1.',
        '~',
        'null',
        '.nan',
        '.inf',
        'true',
        '0o7',
      ],
      ...['1 000', '１', '2026-01-01', '12€'],
    ].map((text) => [text]),
  )('of %s is refused', async (text) => {
    expect(await refused(priced(text))).toBe(
      '6: charges[0].price: must be written in digits, like 12 or 0.0000001',
    );
  });

  it.each([
    ['-1', 'must not be negative'],
    ['-0.0', 'must not be negative'],
    ['0.0000000000001', 'must have at most 12 decimals'],
    ['1000000000000', 'must have at most 12 digits before the point'],
    ['', 'must be given'],
    ['[1]', 'must be a single value'],
  ])('of %s is refused with the reason', async (text, reason) => {
    expect(await refused(priced(text))).toBe(`6: charges[0].price: ${reason}`);
  });
});

describe('a plan is refused with line and reason:', () => {
  const up = (to: string, price = '1', from = '') =>
    `  - up_to: ${to}\n    price: ${price}${from && `\n    from: ${from}`}\n`;
  const last = (from = '') => `  - price: 0.5${from && `\n    from: ${from}`}\n`;
  const flat = (more = '') => `  - {dimension: events, model: flat, price: 1${more}}\n`;

  it.each([
    [
      'tiers that overlap',
      tiered(up('10') + up('10') + last()),
      '9: charges[0].tiers[1].up_to: overlaps: the tier before ends at 10',
    ],
    [
      'tiers that go back',
      tiered(up('10') + up('9') + last()),
      '9: charges[0].tiers[1].up_to: overlaps: the tier before ends at 10',
    ],
    [
      'a tier that begins early',
      tiered(up('10') + last('9')),
      '10: charges[0].tiers[1].from: overlaps: the tier before ends at 10',
    ],
    [
      'a gap between tiers',
      tiered(up('10') + last('11')),
      '10: charges[0].tiers[1].from: leaves a gap: the tier before ends at 10',
    ],
    [
      'a gap before the first tier',
      tiered(up('10', '1', '5') + last()),
      '9: charges[0].tiers[0].from: leaves a gap: the tier before ends at 0',
    ],
    [
      'a last tier with an end',
      tiered(up('10') + up('20')),
      '9: charges[0].tiers[1].up_to: must not be given: the last tier has no end',
    ],
    [
      'a tier without an end before the last',
      tiered(last() + last()),
      '7: charges[0].tiers[0]: up_to must be given: only the last tier has no end',
    ],
    ['no tiers', tiered('').replace('tiers:', 'tiers: []'), '6: charges[0].tiers: must have a tier'],
    [
      'a negative price in a tier',
      tiered(up('10', '-1') + last()),
      '8: charges[0].tiers[0].price: must not be negative',
    ],
    [
      'an unknown currency',
      'name: a\ncurrency: EURO\n',
      '2: currency: must be a currency by its ISO 4217 code, like EUR',
    ],
    [
      'a currency in small letters',
      'name: a\ncurrency: eur\n',
      '2: currency: must be a currency by its ISO 4217 code, like EUR',
    ],
    ['a fee finer than a cent', `${HEAD}base_fee: 1.234\n`, '3: base_fee: must have at most 2 decimals'],
    [
      'a fee finer than a yen',
      'name: a\ncurrency: JPY\nbase_fee: 1.0\n',
      '3: base_fee: must have no decimals in this currency',
    ],
    ['a negative minimum', `${HEAD}minimum: -5\n`, '3: minimum: must not be negative'],
    [
      'an unknown key',
      `${HEAD}base_fee: 1\nchargs: []\n`,
      '4: chargs: there is no such key; did you mean charges?',
    ],
    [
      'an unknown key of a charge',
      charge('model: flat\nprice: 1\nprize: 1'),
      '7: charges[0].prize: there is no such key; did you mean price?',
    ],
    [
      'an unknown key of a tier, for one that must be there',
      charge('model: graduated\ntiers:\n  - prize: 0.30'),
      '7: charges[0].tiers[0].prize: there is no such key; did you mean price?',
    ],
    ['a key called __proto__', `${HEAD}__proto__: 1\n`, '3: __proto__: there is no such key'],
    ['a merge', `${HEAD}<<: {base_fee: 1}\n`, '3: "<<": there is no such key'],
    ['a key twice', `${HEAD}base_fee: 1\nbase_fee: 2\n`, '4: this key is there twice'],
    [
      'an alias bomb',
      `${HEAD}a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n`,
      '3: anchors and aliases are not taken: write it out',
    ],
    ['an anchor', priced('&price 1'), '6: anchors and aliases are not taken: write it out'],
    ['a tag', priced('!!float 0.1'), '6: Unresolved tag: tag:yaml.org,2002:float'],
    ['a block of lines', priced('|\n  1'), '6: blocks of lines are not taken'],
    ['two documents', `${HEAD}---\nname: b\n`, '3: a second document begins here: a file is one plan'],
    ['nothing at all', '', '1: must be a price plan: name, currency, base_fee, charges'],
    ['a list', '- a\n', '1: must be a price plan: name, currency, base_fee, charges'],
    ['no name', 'currency: EUR\n', '1: name: must be given'],
    [
      'a name with a control character',
      'name: "a\\x1b[31m"\ncurrency: EUR\n',
      '1: name: must be small letters, digits, - and _, at most 64, and begin with a letter or digit',
    ],
    [
      'lists a thousand deep',
      `${HEAD}charges: ${'['.repeat(1000)}${']'.repeat(1000)}\n`,
      '3: lists and maps are nested too deep',
    ],
    ['a hundred thousand brackets', '['.repeat(100_000), '1: lists and maps are nested too deep'],
    [
      'an unknown model',
      charge('model: stepped\nprice: 1'),
      '5: charges[0].model: must be one of flat, graduated, volume, package',
    ],
    [
      'an unknown dimension',
      charge('model: flat\nprice: 1').replace('events', 'hours'),
      '4: charges[0].dimension: must be one of events, bytes_ingested, bytes_received',
    ],
    [
      'an event type that is none',
      charge('model: flat\nprice: 1\nevent_types: [log, metrics]'),
      '7: charges[0].event_types[1]: must be one of metric, log, trace, event, profile, slo',
    ],
    [
      'events by the gigabyte',
      charge('model: flat\nprice: 1\nper: 1GB'),
      '7: charges[0].per: must be a whole number above 0, like 1000 or 1M',
    ],
    [
      'a price for nothing',
      charge('model: flat\nprice: 1\nper: 0'),
      '7: charges[0].per: must be a whole number above 0, like 1000 or 1M',
    ],
    [
      'half an event',
      charge('model: flat\nprice: 1\nper: 1.5'),
      '7: charges[0].per: must be a whole number above 0, like 1000 or 1M',
    ],
    [
      'a package without a size',
      charge('model: package\nprice: 1'),
      '4: charges[0]: per must be given: the size of a package',
    ],
    ['no price', charge('model: flat'), '4: charges[0]: price must be given'],
    [
      'a price beside tiers',
      `${tiered(last())}    price: 1\n`,
      '9: charges[0].price: is in the tiers where the model is graduated',
    ],
    [
      'an allowance beside tiers',
      `${tiered(last())}    included: 5\n`,
      '9: charges[0].included: is for flat and package; of graduated, make the first tier one with price 0',
    ],
    [
      'a type charged twice',
      `${HEAD}charges:\n${flat(', event_types: [log], id: a')}${flat(', event_types: [metric, log], id: b')}`,
      '5: charges[1]: charges events of log, which a does already',
    ],
    [
      'a type charged beside all types',
      `${HEAD}charges:\n${flat()}${flat(', event_types: [log]')}`,
      '5: charges[1]: charges events of log, which events does already',
    ],
    [
      'an id twice',
      `${HEAD}charges:\n${flat(', event_types: [log], id: a')}${flat(', event_types: [slo], id: a')}`,
      '5: charges[1]: id a is there twice',
    ],
    [
      'an id that invoices use themselves',
      charge('model: flat\nprice: 1\nid: minimum'),
      '7: charges[0].id: must be small letters, digits, - and _, at most 64, and not base_fee or minimum',
    ],
  ])('%s', async (_, yaml, message) => {
    expect(await refused(yaml)).toBe(message);
  });

  it('a file that is no page of text', async () => {
    expect(await refused('#'.repeat(300_000))).toContain('is too long for a price plan: over 256 KiB');
  });
});

describe('a currency', () => {
  const inCurrency = (code: string, fee = '1') => `name: standard\ncurrency: ${code}\nbase_fee: ${fee}\n`;
  /** Those with other than two digits, by the list of ISO 4217. */
  const DIGITS: Record<number, string> = {
    0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
    3: 'BHD IQD JOD KWD LYD OMR TND',
    4: 'CLF UYW',
  };

  it('of the table has the digits of ISO 4217, and no more', async () => {
    const others = new Map(
      Object.entries(DIGITS).flatMap(([digits, codes]) =>
        codes.split(' ').map((code): [string, number] => [code, Number(digits)]),
      ),
    );
    expect([...CURRENCIES.keys()].filter((code) => others.has(code)).length).toBe(others.size);
    for (const code of CURRENCIES.keys()) {
      const digits = others.get(code) ?? 2;
      const fee = digits === 0 ? '7' : `7.${'1'.repeat(digits)}`;
      const plan = await parsePlan(inCurrency(code, fee), 'plan.yaml');
      expect([code, amountText(plan.baseFee, plan)]).toEqual([code, fee]);
      const more = digits === 0 ? `${fee}.1` : `${fee}1`;
      expect(await refused(inCurrency(code, more))).toContain('decimals');
    }
  });

  it('is one that is in use: withdrawn ones, metals and test codes are refused', async () => {
    for (const code of ['EUR', 'VED', 'XCG', 'ZWG'])
      expect((await parsePlan(inCurrency(code), 'plan.yaml')).currency).toBe(code);
    for (const code of ['HRK', 'DEM', 'BGN', 'ANG', 'XAU', 'XTS', 'XXX', 'eur', 'QQQ'])
      expect(await refused(inCurrency(code))).toContain('must be a currency');
  });

  it('of a plan that is stored was right when it was taken, and keeps its digits', async () => {
    const withdrawn = await parseStoredPlan(inCurrency('HRK', '12.83'), 'standard');
    expect(amountText(withdrawn.baseFee, withdrawn)).toBe('12.83');
    // Had JPY had decimals once.
    const fewer = await parseStoredPlan(inCurrency('JPY', '12.83'), 'standard');
    expect(amountText(fewer.baseFee, fewer)).toBe('12.83');
  });
});

describe('quantities', () => {
  it('of what is included may be 0', async () => {
    const [one] = (await parsePlan(charge('model: flat\nprice: 1\nincluded: 0'), 'plan.yaml')).charges;
    expect(one?.included).toBe(0n);
  });

  it.each([
    ['events', '1000', 1000n],
    ['events', '1_000', 1000n],
    ['events', '2.5M', 2_500_000n],
    ['events', '1B', 1_000_000_000n],
    ['events', '18446744073709551615', 2n ** 64n - 1n],
    ['bytes_ingested', '1GB', 1_000_000_000n],
    ['bytes_received', '1GiB', 1_073_741_824n],
  ])('of %s: %s is exact', async (dimension, per, expected) => {
    const yaml = charge(`model: flat\nprice: 1\nper: ${per}`).replace('events', dimension);
    expect((await parsePlan(yaml, 'plan.yaml')).charges[0]?.per).toBe(expected);
  });
});

it('a type may be charged for its events and for its bytes', async () => {
  const both = `${HEAD}charges:
  - {dimension: events, model: flat, price: 1}
  - {dimension: bytes_received, model: flat, price: 1, event_types: [log]}
`;
  const { charges } = await parsePlan(both, 'plan.yaml');
  expect(charges.map(({ id }) => id)).toEqual(['events', 'bytes_received-log']);
});

it('the example is a plan', async () => {
  const text = readFileSync(new URL('../examples/plan.yaml', import.meta.url), 'utf8');
  const plan = await parsePlan(text, 'plan.yaml');
  expect(plan.charges.map(({ id, model }) => `${id} ${model}`)).toEqual([
    ...['telemetry graduated', 'logs package', 'storage flat'],
  ]);
});

describe('in force in a month', () => {
  const at = new Date('2026-01-01T00:00:00Z');
  const version = (number: bigint, effectiveFrom: string): PlanVersion => ({
    ...{ name: 'standard', version: number, effectiveFrom, at, text: `${HEAD}base_fee: ${number}\n` },
  });
  const given = (tenantId: string, plan: string | null, effectiveFrom: string): Assignment => ({
    ...{ tenantId, plan, effectiveFrom, at, version: 1n },
  });

  it('is the version of the latest month that is not after it; of one month, the last', () => {
    const versions = [
      version(1n, '2026-03'),
      version(2n, '2026-06'),
      version(3n, '2026-04'),
      version(4n, '2026-06'),
    ];
    const catalog = new Catalog({ versions, assignments: [] });
    const months = ['2026-02', '2026-03', '2026-04', '2026-05', '2026-06', '2027-01'];
    expect(months.map((month) => catalog.version('standard', month)?.version)).toEqual([
      ...[undefined, 1n, 3n, 3n, 4n, 4n],
    ]);
    expect(catalog.version('other', '2027-01')).toBeUndefined();
  });

  it('is the plan of a tenant, else the default, else none', async () => {
    const other = { ...version(1n, '2026-05'), name: 'other', text: 'name: other\ncurrency: USD\n' };
    const catalog = new Catalog({
      versions: [other, version(1n, '2026-03'), version(2n, '2026-06')],
      assignments: [
        given('', 'standard', '2026-04'),
        given('', null, '2026-09'),
        ...[
          given('acme', 'other', '2026-05'),
          given('acme', null, '2026-07'),
          given('acme', 'other', '2026-08'),
        ],
      ],
    });
    const plans = async (tenant: string) => {
      const found = [];
      for (const name of ['2026-03', '2026-04', '2026-05', '2026-06', '2026-07', '2026-08', '2026-09']) {
        const plan = await catalog.planOf(tenant, { name });
        found.push(plan ? `${plan.plan.name} ${plan.version}${plan.owner && ' own'}` : '-');
      }
      return found;
    };
    expect(await plans('globex')).toEqual([
      '-',
      'standard 1',
      'standard 1',
      'standard 2',
      'standard 2',
      'standard 2',
      '-',
    ]);
    expect(await plans('acme')).toEqual([
      '-',
      'standard 1',
      'other 1 own',
      'other 1 own',
      'standard 2',
      'other 1 own',
      'other 1 own',
    ]);
    expect(catalog.tenantsWithOwn({ name: '2026-06' })).toEqual(['acme']);
    expect(catalog.tenantsWithOwn({ name: '2026-07' })).toEqual([]);
  });
});
