import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { usageError } from '../errors.ts';
import { EVENT_TYPES } from '../ingest/contract.ts';
import { byteCount, eventCount } from '../quantity.ts';
import { type Decimal, decimal, decimalsOf, type InCurrency, isCurrency, minorDigits } from './money.ts';
import { type Path, readYaml } from './yaml.ts';

/** What can be charged for. bytes_ingested are compressed bytes as stored, bytes_received the lines as sent. */
export const DIMENSIONS = ['events', 'bytes_ingested', 'bytes_received'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/**
 * flat: one price; graduated: each tier's part of the quantity at its price; volume: the whole quantity at the price
 * of the tier that it reaches; package: a price for each package of `per` that was begun.
 */
export const MODELS = ['flat', 'graduated', 'volume', 'package'] as const;
export type Model = (typeof MODELS)[number];

/** The quantities over `from`, up to and with `upTo`. */
export interface Tier {
  from: bigint;
  /** null: without end. */
  upTo: bigint | null;
  /** For `per` of the charge's dimension. */
  price: Decimal;
}

export interface Charge {
  /** Once in a plan; invoice lines are named after it. */
  id: string;
  dimension: Dimension;
  /** null: all types. */
  eventTypes: readonly string[] | null;
  model: Model;
  /** How many events or bytes a price is for; of a package, its size. */
  per: bigint;
  /** Events or bytes a month that cost nothing. */
  included: bigint;
  /** Of flat and package a single one without end. */
  tiers: readonly Tier[];
  /** What the charge comes to at least, a month. */
  minimum: Decimal | null;
}

export interface Plan extends InCurrency {
  name: string;
  /** A month. */
  baseFee: Decimal;
  /** What all lines come to at least, a month. */
  minimum: Decimal | null;
  charges: readonly Charge[];
}

/** Digits that a price may have after its point. */
export const PRICE_DECIMALS = 12;
/** Digits that an amount of money may have before its point. */
const WHOLE_DIGITS = 12;
/** Lines of invoices that are no charge's. */
const RESERVED = ['base_fee', 'minimum'];

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

const text = z.string('must be a single value').min(1, 'must be given');
const tier = z.strictObject(
  { from: text.optional(), up_to: text.optional(), price: text },
  'must be a tier: up_to and price',
);
const charge = z.strictObject(
  {
    id: text.optional(),
    dimension: z.enum(DIMENSIONS, `must be one of ${DIMENSIONS.join(', ')}`),
    event_types: z.array(text, 'must be a list of event types').min(1, 'must name a type').optional(),
    model: z.enum(MODELS, `must be one of ${MODELS.join(', ')}`),
    per: text.optional(),
    price: text.optional(),
    included: text.optional(),
    tiers: z.array(tier, 'must be a list of tiers').min(1, 'must have a tier').optional(),
    minimum: text.optional(),
  },
  'must be a charge: dimension, model, price',
);
const plan = z.strictObject(
  {
    name: text,
    currency: text,
    base_fee: text.optional(),
    minimum: text.optional(),
    charges: z.array(charge, 'must be a list of charges').max(100, 'must be at most 100').optional(),
  },
  'must be a price plan: name, currency, base_fee, charges',
);

/** Ends the reading of a plan at a place, with the reason. */
type Refuse = (path: Path, reason: string) => never;

/**
 * Reads a price plan. Amounts and quantities are taken from the text as it stands there, exactly.
 * @param name what the errors call the text: the path of its file
 * @throws InfrasageError (exit 2) that names the line and the reason
 */
export function parsePlan(yaml: string, name: string): Promise<Plan> {
  return read(yaml, name, inCurrency);
}

/**
 * Reads a price plan that was stored or locked: its currency and the decimals of its amounts were right when it was
 * taken, whatever has become of the currency since.
 */
export function parseStoredPlan(yaml: string, name: string): Promise<Plan> {
  return read(yaml, name, inStoredCurrency);
}

async function read(yaml: string, name: string, moneyOf: MoneyOf): Promise<Plan> {
  const { value, lineOf } = await readYaml(yaml, name);
  const refuse: Refuse = (path, reason) => {
    throw usageError(`${name}:${lineOf(path)}: ${shown(path)}${reason}`, 'price plans: docs/billing.md');
  };
  const parsed = plan.safeParse(value);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => {
      const [unknown] = issue.code === 'unrecognized_keys' ? issue.keys : [];
      if (unknown !== undefined)
        return { path: [...issue.path, unknown], reason: noSuchKey(issue.path, unknown) };
      const missing = issue.code === 'invalid_type' && valueAt(value, issue.path) === undefined;
      return { path: issue.path, reason: missing ? 'must be given' : issue.message };
    });
    issues.sort((a, b) => lineOf(a.path) - lineOf(b.path));
    // A mistyped key is why another one is missing.
    const first = issues.find(({ reason }) => reason.startsWith(NO_SUCH_KEY)) ?? issues[0];
    if (first) refuse(first.path, first.reason);
    throw parsed.error;
  }
  return planOf(parsed.data, moneyOf, refuse);
}

const NO_SUCH_KEY = 'there is no such key';

/** That a key is unknown where it stands, and which one may have been meant. */
function noSuchKey(path: Path, key: string): string {
  const { shape } = path.includes('tiers') ? tier : path.includes('charges') ? charge : plan;
  const near = closest(key, Object.keys(shape));
  return distance(key, near) <= Math.ceil(key.length / 4)
    ? `${NO_SUCH_KEY}; did you mean ${near}?`
    : NO_SUCH_KEY;
}

/** The most decimals that amounts may have in a currency. */
type MoneyOf = (currency: string, refuse: Refuse) => number;

function inCurrency(currency: string, refuse: Refuse): number {
  if (!isCurrency(currency)) refuse(['currency'], 'must be a currency by its ISO 4217 code, like EUR');
  return minorDigits(currency);
}

function inStoredCurrency(): number {
  return PRICE_DECIMALS;
}

function planOf(given: z.infer<typeof plan>, moneyOf: MoneyOf, refuse: Refuse): Plan {
  if (!NAME.test(given.name)) {
    refuse(['name'], 'must be small letters, digits, - and _, at most 64, and begin with a letter or digit');
  }
  const { currency } = given;
  const decimals = moneyOf(currency, refuse);
  const money = (path: Path, amount: string) =>
    readAmount(amount, decimals, (reason) => refuse(path, reason));
  const charges = (given.charges ?? []).map((one, i) => chargeOf(one, ['charges', i], { money, refuse }));
  assertOnce(charges, refuse);
  const baseFee = given.base_fee === undefined ? decimal(0n) : money(['base_fee'], given.base_fee);
  const minimum = given.minimum === undefined ? null : money(['minimum'], given.minimum);
  const amounts = [baseFee, ...[minimum, ...charges.map((one) => one.minimum)].flatMap((one) => one ?? [])];
  return {
    ...{ name: given.name, currency, baseFee, minimum, charges },
    // A stored plan may have amounts from when its currency had more.
    digits: Math.max(minorDigits(currency), ...amounts.map(decimalsOf)),
  };
}

function chargeOf(
  given: z.infer<typeof charge>,
  path: Path,
  { money, refuse }: { money: (path: Path, amount: string) => Decimal; refuse: Refuse },
): Charge {
  const at = (...more: PropertyKey[]): Path => [...path, ...more];
  const { dimension, model } = given;
  const types = given.event_types ?? null;
  types?.forEach((type, i) => {
    if (!(EVENT_TYPES as readonly string[]).includes(type)) {
      refuse(at('event_types', i), `must be one of ${EVENT_TYPES.join(', ')}`);
    }
    if (types.indexOf(type) < i) refuse(at('event_types', i), 'is there twice');
  });
  const id = given.id ?? [dimension, ...(types ?? [])].join('-');
  if (!NAME.test(id) || RESERVED.includes(id)) {
    refuse(at('id'), `must be small letters, digits, - and _, at most 64, and not ${RESERVED.join(' or ')}`);
  }
  const quantity = (where: Path, amount: string): bigint =>
    (dimension === 'events' ? eventCount(amount) : byteCount(amount)) ??
    refuse(
      where,
      `must be a whole number above 0, like ${dimension === 'events' ? '1000 or 1M' : '1GB or 1GiB'}`,
    );
  const price = (where: Path, amount: string) =>
    readAmount(amount, PRICE_DECIMALS, (reason) => refuse(where, reason));
  const tiered = model === 'graduated' || model === 'volume';
  const { price: one, tiers, included = '0' } = given;
  if (tiered && one !== undefined) refuse(at('price'), `is in the tiers where the model is ${model}`);
  if (tiered && given.included !== undefined) {
    refuse(at('included'), `is for flat and package; of ${model}, make the first tier one with price 0`);
  }
  if (!tiered && tiers !== undefined) refuse(at('tiers'), `are for graduated and volume, not for ${model}`);
  if (model === 'package' && given.per === undefined)
    refuse(path, 'per must be given: the size of a package');
  return {
    id,
    dimension,
    eventTypes: types,
    model,
    per: given.per === undefined ? 1n : quantity(at('per'), given.per),
    included: included === '0' ? 0n : quantity(at('included'), included),
    tiers: tiered
      ? tiersOf(tiers ?? refuse(path, 'tiers must be given'), at('tiers'), { quantity, price, refuse })
      : [{ from: 0n, upTo: null, price: price(at('price'), one ?? refuse(path, 'price must be given')) }],
    minimum: given.minimum === undefined ? null : money(at('minimum'), given.minimum),
  };
}

/** Tiers follow one another without gap or overlap, and the last one has no end. */
function tiersOf(
  given: readonly z.infer<typeof tier>[],
  path: Path,
  {
    quantity,
    price,
    refuse,
  }: {
    quantity: (path: Path, amount: string) => bigint;
    price: (path: Path, amount: string) => Decimal;
    refuse: Refuse;
  },
): Tier[] {
  let from = 0n;
  return given.map((one, i): Tier => {
    const at = (key: string) => [...path, i, key];
    if (one.from !== undefined) {
      const begin = one.from === '0' ? 0n : quantity(at('from'), one.from);
      if (begin > from) refuse(at('from'), `leaves a gap: the tier before ends at ${from}`);
      if (begin < from) refuse(at('from'), `overlaps: the tier before ends at ${from}`);
    }
    const last = i === given.length - 1;
    if (last && one.up_to !== undefined) refuse(at('up_to'), 'must not be given: the last tier has no end');
    if (!last && one.up_to === undefined)
      refuse([...path, i], 'up_to must be given: only the last tier has no end');
    const upTo = one.up_to === undefined ? null : quantity(at('up_to'), one.up_to);
    if (upTo !== null && upTo <= from) refuse(at('up_to'), `overlaps: the tier before ends at ${from}`);
    const made = { from, upTo, price: price(at('price'), one.price) };
    from = upTo ?? from;
    return made;
  });
}

/** Nothing is charged twice: of a dimension, each type is in one charge at most. */
function assertOnce(charges: readonly Charge[], refuse: Refuse): void {
  charges.forEach(({ id, dimension, eventTypes }, i) => {
    for (const other of charges.slice(0, i)) {
      if (other.id === id) refuse(['charges', i], `id ${id} is there twice`);
      if (other.dimension !== dimension) continue;
      const shared = (eventTypes ?? EVENT_TYPES).find((type) => other.eventTypes?.includes(type) ?? true);
      if (shared !== undefined) {
        refuse(['charges', i], `charges ${dimension} of ${shared}, which ${other.id} does already`);
      }
    }
  });
}

/** Money as it is written: digits, with a point where there are decimals. */
function readAmount(amount: string, decimals: number, refuse: (reason: string) => never): Decimal {
  if (amount.startsWith('-')) refuse('must not be negative');
  const [, whole, fraction = ''] = /^(0|[1-9]\d*)(?:\.(\d+))?$/.exec(amount) ?? [];
  if (whole === undefined) refuse('must be written in digits, like 12 or 0.0000001');
  else if (whole.length > WHOLE_DIGITS) refuse(`must have at most ${WHOLE_DIGITS} digits before the point`);
  if (fraction.length > decimals) {
    refuse(
      decimals === 0 ? 'must have no decimals in this currency' : `must have at most ${decimals} decimals`,
    );
  }
  return decimal(amount);
}

/** `charges[0].tiers[1].price: `, as it stands in messages. */
function shown(path: Path): string {
  const words = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${printableKey(String(key))}`));
  return words.length === 0 ? '' : `${words.join('').replace(/^\./, '')}: `;
}

/** A key of somebody else's file: cut, since it may be anything. */
function printableKey(key: string): string {
  return /^[\w-]{1,40}$/.test(key) ? key : JSON.stringify(key.slice(0, 40));
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
}
