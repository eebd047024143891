import { z } from 'zod';
import { costsJson, costsOf, WEIGHTS } from '../../billing/costs.ts';
import { parseStoragePrice } from '../../billing/storage-price.ts';
import { parseAsOf, parseMonth } from '../../period.ts';
import { KINDS, parseGrouping } from '../../reports/grouping.ts';
import { GROUPS } from '../../reports/groups.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { count64 } from '../serializer.ts';
import { groupByQuery } from './group-query.ts';
import { tenantParameter } from './tenant-query.ts';
import { asOfQuery, summary } from './usage.ts';

/** Groups of an answer: there are no pages, as shares are of a whole. */
const MOST_GROUPS = 10_000;

const amount = z.string().describe('exact, with the digits of the currency: "12.30"');

/** The name of the group's member follows from the grouping, which the types cannot say. */
const row = z
  .object({
    kind: z.enum(KINDS).describe('of a value, of events without it, or what falls to no group'),
    events: count64,
    bytes: count64.describe('compressed, as stored'),
    amount,
    currency: z.string(),
  })
  .catchall(
    z.string().nullable().describe('what it is grouped by; null where it is of no value'),
  ) as z.ZodType<ReturnType<typeof costsJson>['tenants'][number]['breakdown'][number]>;

const answer = z.object({
  tenant_id: z.string(),
  month: z.string(),
  period: summary.shape.period,
  open: z.boolean().describe('whether the month is not over'),
  as_of: summary.shape.as_of,
  group_by: z.string(),
  weight: z.enum(WEIGHTS),
  tenants: z
    .array(
      z.object({
        tenant_id: z.string(),
        currency: z.string().describe('ISO 4217'),
        basis: z.union([
          z.object({ kind: z.literal('plan'), name: z.string(), version: z.int().nullable() }),
          z.object({ kind: z.literal('storage_price'), price: z.string(), per: z.string() }),
        ]),
        parts: z.array(
          z.object({
            kind: z.enum(['usage', 'base_fee', 'minimum', 'adjustment']),
            month: z.string().describe('the month it is for: of an adjustment an earlier one'),
            amount,
          }),
        ),
        total: amount.describe('the sum of the parts, and of the amounts of the breakdown'),
        breakdown: z.array(row).describe('by weight, largest first'),
      }),
    )
    .describe('the one tenant, once for each currency of its bill; none where there is no bill'),
  without_plan: z.array(z.string()).describe('the tenant, where it has usage and no price plan is in force'),
  billed_later: z
    .array(z.object({ tenant_id: z.string(), month: z.string() }))
    .describe(
      'the tenant, where its usage came after the month was closed, and the month on whose bill it is',
    ),
});

/** Who costs what: the same as the command `costs`. */
export function costsRoutes(app: App, { store, now }: { store: Store; now: () => Date }): void {
  app.get(
    '/api/v1/costs',
    {
      config: { access: 'read usage' },
      schema: {
        ...{ tags: ['usage'], security: BY_TOKEN, summary: "A month's bill, shared over groups" },
        description: `Answered with 400 where there are more than ${MOST_GROUPS} groups.`,
        querystring: z.strictObject({
          month: z.string().max(7).optional().describe('like 2026-11, UTC; default the current one'),
          group_by: groupByQuery(GROUPS).default('service_id'),
          weight: z.enum(WEIGHTS).default('bytes').describe('what is shared in proportion to'),
          storage_price: z
            .string()
            .max(32)
            .optional()
            .describe('in the place of the bill: a price for each GB (10^9 bytes) stored and month'),
          currency: z.string().max(8).optional().describe('of storage_price, ISO 4217'),
          as_of: asOfQuery,
          tenant_id: tenantParameter,
        }),
        response: { 200: answer, ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const { query } = request;
      const moment = now();
      const tenantId = tenantOf(request, query.tenant_id);
      const asOf = parseAsOf(query.as_of, moment, 'as_of');
      const names = { price: 'storage_price', currency: 'currency' };
      const found = await costsOf(store, {
        ...{ tenantId, now: moment, asOf, weight: query.weight, limit: MOST_GROUPS },
        month: parseMonth(query.month, asOf ?? moment, 'month'),
        groupBy: parseGrouping(query.group_by, GROUPS, 'group_by'),
        storage: parseStoragePrice(query.storage_price, query.currency, names),
      });
      return answer.parse(costsJson(found));
    },
  );
}
