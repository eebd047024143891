/**
 * What an invoice must come to, computed anew: fractions of BigInt, and nothing of the program's own. A plan is given
 * as the texts that its YAML holds.
 */
export interface OraclePlan {
  name: string;
  currency: string;
  /** Of the currency's minor unit. */
  digits: number;
  base_fee?: string;
  minimum?: string;
  charges: OracleCharge[];
}

export interface OracleCharge {
  id: string;
  dimension: 'events' | 'bytes_ingested' | 'bytes_received';
  event_types?: string[];
  model: 'flat' | 'graduated' | 'volume' | 'package';
  per?: bigint;
  price?: string;
  included?: bigint;
  tiers?: { up_to?: bigint; price: string }[];
  minimum?: string;
}

export interface OracleFigures {
  type: string;
  events: bigint;
  bytesIngested: bigint;
  bytesReceived: bigint;
}

/** The plan as YAML, in block style with plain scalars. */
export function yamlOf(plan: OraclePlan): string {
  const lines = [`name: ${plan.name}`, `currency: ${plan.currency}`];
  if (plan.base_fee !== undefined) lines.push(`base_fee: ${plan.base_fee}`);
  if (plan.minimum !== undefined) lines.push(`minimum: ${plan.minimum}`);
  lines.push(plan.charges.length === 0 ? 'charges: []' : 'charges:');
  for (const charge of plan.charges) {
    const { id, tiers, event_types, ...rest } = charge;
    lines.push(`  - id: ${id}`);
    for (const [key, value] of Object.entries(rest)) lines.push(`    ${key}: ${value}`);
    if (event_types) lines.push(`    event_types: [${event_types.join(', ')}]`);
    if (tiers) lines.push('    tiers:');
    for (const { up_to, price } of tiers ?? []) {
      lines.push(`      - price: ${price}`);
      if (up_to !== undefined) lines.push(`        up_to: ${up_to}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Amounts in minor units by line id, and what they come to. */
export function oracle(
  plan: OraclePlan,
  figures: OracleFigures[],
): { lines: Map<string, bigint>; total: bigint } {
  const lines = new Map<string, bigint>();
  const money = (text: string) => scaled(text, plan.digits);
  if (plan.base_fee !== undefined && money(plan.base_fee) > 0n) lines.set('base_fee', money(plan.base_fee));
  for (const charge of plan.charges) {
    const key = {
      events: 'events',
      bytes_ingested: 'bytesIngested',
      bytes_received: 'bytesReceived',
    } as const;
    let quantity = 0n;
    for (const figure of figures) {
      if (charge.event_types && !charge.event_types.includes(figure.type)) continue;
      quantity += figure[key[charge.dimension]];
    }
    const own = new Map<string, bigint>();
    const per = charge.per ?? 1n;
    if (charge.included !== undefined) {
      own.set(`${charge.id}.included`, 0n);
      quantity = quantity > charge.included ? quantity - charge.included : 0n;
    }
    const price = (text: string, units: bigint, of: bigint) =>
      halfEven(scaled(text, 30) * units * 10n ** BigInt(plan.digits), of * 10n ** 30n);
    if (charge.included === undefined || quantity > 0n) {
      if (charge.model === 'flat') own.set(charge.id, price(charge.price ?? '', quantity, per));
      if (charge.model === 'package') {
        const whole = quantity / per;
        own.set(charge.id, price(charge.price ?? '', quantity % per === 0n ? whole : whole + 1n, 1n));
      }
      const tiers = charge.tiers ?? [];
      if (charge.model === 'volume') {
        const at = tiers.findIndex(({ up_to }) => up_to === undefined || quantity <= up_to);
        own.set(`${charge.id}.${at + 1}`, price(tiers[at]?.price ?? '', quantity, per));
      }
      if (charge.model === 'graduated') {
        let left = quantity;
        let begun = 0n;
        tiers.forEach(({ up_to, price: text }, i) => {
          let here = left;
          if (up_to !== undefined && up_to - begun < left) here = up_to - begun;
          if (here > 0n || i === 0) own.set(`${charge.id}.${i + 1}`, price(text, here, per));
          left -= here;
          begun = up_to ?? begun;
        });
      }
    }
    if (charge.minimum !== undefined) {
      const missing = money(charge.minimum) - total(own);
      if (missing > 0n) own.set(`${charge.id}.minimum`, missing);
    }
    for (const [id, amount] of own) lines.set(id, amount);
  }
  if (plan.minimum !== undefined) {
    const missing = money(plan.minimum) - total(lines);
    if (missing > 0n) lines.set('minimum', missing);
  }
  return { lines, total: total(lines) };
}

/** An amount in minor units as it is written: 1230 with 2 digits is 12.30. */
export function written(amount: bigint, digits: number): string {
  const sign = amount < 0n ? '-' : '';
  const text = (amount < 0n ? -amount : amount).toString().padStart(digits + 1, '0');
  return digits === 0 ? `${sign}${text}` : `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

function total(lines: Map<string, bigint>): bigint {
  let sum = 0n;
  for (const amount of lines.values()) sum += amount;
  return sum;
}

/** A decimal text times 10^digits. */
function scaled(text: string, digits: number): bigint {
  const [whole = '', fraction = ''] = text.split('.');
  return BigInt(whole + fraction.padEnd(digits, '0'));
}

/** The nearest whole number to numerator / denominator; of two as near, the even one. */
function halfEven(numerator: bigint, denominator: bigint): bigint {
  const floor = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  if (twice > denominator) return floor + 1n;
  if (twice < denominator) return floor;
  return floor % 2n === 0n ? floor : floor + 1n;
}
