import { z } from 'zod';
import { decimal } from '../plans/money.ts';
import { DIMENSIONS, MODELS } from '../plans/plan.ts';
import type { InvoiceLine } from '../plans/rate.ts';

/** Lines as they are locked: JSON, quantities and money as texts. */
export function lockedText(lines: readonly InvoiceLine[]): string {
  return JSON.stringify(
    lines.map(({ unitPrice, amount, ...line }) => ({
      ...line,
      unitPrice: unitPrice?.toFixed() ?? null,
      amount: amount.toFixed(),
    })),
    (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value),
  );
}

const whole = z
  .string()
  .regex(/^\d+$/)
  .transform((text) => BigInt(text));
const money = z.string().transform((text) => decimal(text));

const line: z.ZodType<InvoiceLine> = z.object({
  id: z.string(),
  charge: z.string().nullable(),
  kind: z.enum(['base_fee', 'usage', 'included', 'minimum']),
  dimension: z.enum(DIMENSIONS).nullable(),
  eventTypes: z.array(z.string()).nullable(),
  model: z.enum(MODELS).nullable(),
  quantity: whole.nullable(),
  packages: whole.nullable(),
  tier: z.object({ number: z.number(), from: whole, upTo: whole.nullable() }).nullable(),
  per: whole.nullable(),
  unitPrice: money.nullable(),
  amount: money,
  text: z.string(),
});

/** The lines that were locked, to the digit. */
export function lockedLines(text: string): InvoiceLine[] {
  return z.array(line).parse(JSON.parse(text));
}
