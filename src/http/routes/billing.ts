import { z } from 'zod';
import { bill, billJson } from '../../billing/bill.ts';
import { parseAsOf, parseMonth } from '../../period.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { count64 } from '../serializer.ts';
import { tenantParameter } from './tenant-query.ts';
import { asOfQuery, summary } from './usage.ts';

const amount = z.string().describe('exact, with the digits of the currency: "12.30"');
const dimension = z.enum(['events', 'bytes_ingested', 'bytes_received']);

const line = z.object({
  line_id: z.string(),
  charge_id: z.string().nullable(),
  kind: z.enum(['base_fee', 'usage', 'included', 'minimum']),
  dimension: dimension.nullable(),
  event_types: z.array(z.string()).readonly().nullable().describe('null: all'),
  model: z.enum(['flat', 'graduated', 'volume', 'package']).nullable(),
  quantity: count64.nullable(),
  packages: count64.nullable(),
  tier: z.object({ number: z.int(), from: count64, up_to: count64.nullable() }).nullable(),
  per: count64.nullable().describe('events or bytes that the unit price is for'),
  unit_price: z.string().nullable(),
  amount,
  description: z.string(),
});

const adjustment = z.object({
  month: z.string(),
  quantities: z.array(
    z.object({
      event_type: z.string(),
      events: z.bigint().meta({ type: 'integer' }),
      bytes_ingested: z.bigint().meta({ type: 'integer' }),
      bytes_received: z.bigint().meta({ type: 'integer' }),
    }),
  ),
  amount,
});

const invoice = z.object({
  tenant_id: z.string(),
  month: z.string(),
  period: summary.shape.period,
  plan: z.object({ name: z.string(), version: z.int().nullable() }),
  currency: z.string().describe('ISO 4217'),
  lines: z.array(line),
  subtotal: amount,
  adjustments: z.array(adjustment),
  total: amount,
  open: z.boolean().describe('whether the month has begun and is not over'),
  projected: z.object({ method: z.literal('linear'), total: amount }).nullable(),
});

const answer = summary.extend({
  closed_at: z.string().optional().describe('RFC 3339, UTC; where the month is closed'),
  invoices: z.array(invoice).optional().describe('one a currency, where the tenant has a price plan'),
  adjustments: z
    .array(
      adjustment.extend({
        tenant_id: z.string(),
        amount: amount.nullable(),
        currency: z.string().nullable(),
      }),
    )
    .optional()
    .describe('what has changed of earlier months that are closed, with its sign; on the invoices too'),
});

/** What is to be paid: the same as the command `billing`. */
export function billingRoutes(app: App, { store, now }: { store: Store; now: () => Date }): void {
  app.get(
    '/api/v1/billing',
    {
      config: { access: 'read usage' },
      schema: {
        ...{ tags: ['usage'], security: BY_TOKEN, summary: "A month's usage, quota, projection and invoice" },
        querystring: z.strictObject({
          month: z.string().max(7).optional().describe('like 2026-11, UTC; default the current one'),
          as_of: asOfQuery,
          tenant_id: tenantParameter,
        }),
        response: { 200: answer, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const moment = now();
      const tenantId = tenantOf(request, request.query.tenant_id);
      const asOf = parseAsOf(request.query.as_of, moment, 'as_of');
      const month = parseMonth(request.query.month, asOf ?? moment, 'month');
      return answer.parse(billJson(await bill(store, { tenantId, month, now: moment, asOf })));
    },
  );
}
