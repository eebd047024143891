import { formatCount } from '../render/text.ts';
import { amountText, type Decimal, decimal, divideRounded, sum, ZERO } from './money.ts';
import type { Charge, Dimension, Model, Plan, Tier } from './plan.ts';

/** What was metered of an event type. */
export interface TypeQuantities {
  type: string;
  events: bigint;
  bytesIngested: bigint;
  bytesReceived: bigint;
}

/** Something that is charged, its amount rounded to the currency's minor unit. */
export interface InvoiceLine {
  /** Once on an invoice, the same every month: `base_fee`, `logs`, `logs.2` for its second tier, `logs.minimum`. */
  id: string;
  /** The charge of the plan; null for what is the whole plan's. */
  charge: string | null;
  kind: 'base_fee' | 'usage' | 'included' | 'minimum';
  /** null for fees and minimums, which have no quantity. */
  dimension: Dimension | null;
  /** null: all types. */
  eventTypes: readonly string[] | null;
  model: Model | null;
  /** Events or bytes that this line is about. */
  quantity: bigint | null;
  /** Packages that were begun; null where there are none. */
  packages: bigint | null;
  /** Where the quantity lies, number from 1; null where the model has no tiers. */
  tier: { number: number; from: bigint; upTo: bigint | null } | null;
  /** How many events or bytes the unit price is for. */
  per: bigint | null;
  unitPrice: Decimal | null;
  amount: Decimal;
  /** What it is, in a few words. */
  text: string;
}

/**
 * What a plan makes of a month. Every line is computed exactly and rounded once, half to even, to the currency's minor
 * unit; sums are those of rounded lines, so that an invoice adds up as it is printed.
 */
export function rate(plan: Plan, figures: readonly TypeQuantities[]): InvoiceLine[] {
  const { digits } = plan;
  const lines: InvoiceLine[] = plan.baseFee.gt(ZERO)
    ? [{ ...PLAIN, id: 'base_fee', kind: 'base_fee', amount: plan.baseFee, text: 'base fee' }]
    : [];
  for (const charge of plan.charges) {
    const usage = usageLines(charge, quantityOf(charge, figures), digits);
    lines.push(...usage, ...topUp(`${charge.id}.minimum`, usage, { ...charge, digits }));
  }
  return [...lines, ...topUp('minimum', lines, plan)];
}

/** The sum of the lines; it is exact, since they are rounded already. */
export function subtotal(lines: readonly InvoiceLine[]): Decimal {
  return sum(lines.map(({ amount }) => amount));
}

/** What a charge counts of the figures. */
export function quantityOf(
  { dimension, eventTypes }: Pick<Charge, 'dimension' | 'eventTypes'>,
  figures: readonly TypeQuantities[],
): bigint {
  return figures
    .filter(({ type }) => eventTypes === null || eventTypes.includes(type))
    .reduce((total, figure) => total + figure[FIELD[dimension]], 0n);
}

const FIELD = {
  events: 'events',
  bytes_ingested: 'bytesIngested',
  bytes_received: 'bytesReceived',
} as const satisfies Record<Dimension, keyof TypeQuantities>;

const PLAIN = {
  charge: null,
  dimension: null,
  eventTypes: null,
  model: null,
  quantity: null,
  packages: null,
  tier: null,
  per: null,
  unitPrice: null,
} as const;

function usageLines(charge: Charge, quantity: bigint, digits: number): InvoiceLine[] {
  const free = quantity < charge.included ? quantity : charge.included;
  const { id, dimension, eventTypes, model, per } = charge;
  const common = { ...PLAIN, charge: id, dimension, eventTypes, model };
  const included: InvoiceLine[] =
    charge.included === 0n
      ? []
      : [
          {
            ...{ ...common, id: `${id}.included`, kind: 'included', quantity: free, per, unitPrice: ZERO },
            ...{ amount: ZERO, text: `included: up to ${formatCount(charge.included)}` },
          },
        ];
  const rest = quantity - free;
  if (included.length > 0 && rest === 0n) return included;
  const parts = partsOf(charge, rest).map(({ tier, number, part }): InvoiceLine => {
    const packages = model === 'package' ? (part + per - 1n) / per : null;
    const amount =
      packages === null
        ? divideRounded(tier.price.times(decimal(part)), per, digits)
        : divideRounded(tier.price.times(decimal(packages)), 1n, digits);
    const tiered = number !== null;
    return {
      ...{ ...common, id: tiered ? `${id}.${number}` : id, kind: 'usage', quantity: part, packages, per },
      ...{
        tier: tiered ? { number, from: tier.from, upTo: tier.upTo } : null,
        unitPrice: tier.price,
        amount,
      },
      text: tiered ? `${model} tier ${number}: ${range(tier)}` : textOf(charge, packages),
    };
  });
  return [...included, ...parts];
}

/** How a quantity falls into the tiers; at least one part, of nothing where there is nothing. */
function partsOf(
  { model, tiers }: Charge,
  quantity: bigint,
): { tier: Tier; number: number | null; part: bigint }[] {
  const within = ({ from, upTo }: Tier) => (upTo === null || quantity < upTo ? quantity : upTo) - from;
  const parts = tiers.map((tier, i) => ({ tier, number: i + 1, part: within(tier) }));
  const reached = parts.filter(({ part }, i) => i === 0 || part > 0n);
  if (model === 'graduated') return reached;
  // The last tier that is reached, for the whole quantity.
  return reached.slice(-1).map(({ tier, number }) => ({
    ...{ tier, part: quantity },
    number: model === 'volume' ? number : null,
  }));
}

/** The line that brings a sum up to its minimum; none where it is reached. */
function topUp(
  id: string,
  lines: readonly InvoiceLine[],
  of: Pick<Plan, 'minimum' | 'digits'> & { id?: string },
): InvoiceLine[] {
  const { minimum, id: charge = null } = of;
  const missing = minimum?.minus(subtotal(lines));
  if (!minimum || !missing?.gt(ZERO)) return [];
  const text = `minimum commitment: what is missing to ${amountText(minimum, of)}`;
  return [{ ...PLAIN, id, charge, kind: 'minimum', amount: missing, text }];
}

function range({ from, upTo }: Tier): string {
  if (upTo === null) return from === 0n ? 'all' : `over ${formatCount(from)}`;
  return from === 0n ? `up to ${formatCount(upTo)}` : `${formatCount(from + 1n)} to ${formatCount(upTo)}`;
}

function textOf({ model, per, included }: Charge, packages: bigint | null): string {
  const over = included === 0n ? '' : `over ${formatCount(included)}`;
  if (packages === null) return over || model;
  return `${formatCount(packages)} × package of ${formatCount(per)}${over && ` ${over}`}`;
}
