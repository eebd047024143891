import { z } from 'zod';
import { may } from '../../access/roles.ts';
import { bill } from '../../billing/bill.ts';
import { parseAsOf, parseMonth, parsePeriod } from '../../period.ts';
import { renderCsv } from '../../render/csv.ts';
import { billingJson } from '../../reports/billing.ts';
import { ATTRIBUTE, GROUPINGS, isAttribute, KINDS, parseGrouping } from '../../reports/grouping.ts';
import { type Usage, usage, usageCells, usageJson } from '../../reports/usage.ts';
import type { Store } from '../../store/store.ts';
import { prefersCsv } from '../accept.ts';
import type { App } from '../app.ts';
import { forbidden, principalOf, tenantOf } from '../auth.ts';
import { type Cursors, MAX_CURSOR } from '../cursor.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { count64 } from '../serializer.ts';
import { groupByQuery } from './group-query.ts';
import { tenantParameter } from './tenant-query.ts';

/** Rows of a page, unless the caller says how many, and at most. */
const PAGE = 1_000;
const LONGEST_PAGE = 10_000;

const moment = z.string().max(64);
const period = z
  .object({ start: z.string(), end: z.string() })
  .describe('RFC 3339, UTC; the end is exclusive');

export const asOfQuery = moment
  .regex(/^\d{4}-/, 'must be a date or RFC 3339')
  .optional()
  .describe('the report as of this time, a date or RFC 3339: without what was ingested later');
const asOfTime = z.string().optional().describe('RFC 3339, UTC; where the report is as of a time');

const breakdownQuery = z.strictObject({
  since: moment
    .default('24h')
    .describe('start, inclusive: a span before now (90m, 24h, 7d, 2w), a date, or RFC 3339'),
  until: moment.optional().describe('end, exclusive, written like since; default now'),
  group_by: groupByQuery(GROUPINGS)
    .default('event_type')
    .describe(`tenant_id is for super-admins; ${ATTRIBUTE}KEY is the value of an attribute`),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(LONGEST_PAGE)
    .default(PAGE)
    .describe('rows of a page; the totals are of all rows'),
  as_of: asOfQuery,
  cursor: z.string().max(MAX_CURSOR).optional().describe('next_cursor of the page before'),
  tenant_id: tenantParameter,
});

/** The name of a member follows from the grouping, which the types cannot say. */
const row = z
  .object({
    kind: z
      .enum(KINDS)
      .optional()
      .describe(
        'by attribute: of a value, of events without it, or metered events whose raw rows were removed by their age',
      ),
    events: count64,
    bytes: count64.describe('compressed, as stored'),
  })
  .catchall(
    z.string().nullable().describe('what it is grouped by; null where it is of no value'),
  ) as z.ZodType<ReturnType<typeof usageCells>>;

const breakdown = z.object({
  period,
  as_of: asOfTime,
  breakdown: z.array(row).describe('largest first; hours, days and months in time order'),
  total_events: count64,
  total_bytes: count64,
  next_cursor: z.string().optional().describe('where there is a next page'),
});

const typeUsage = z.object({ event_type: z.string(), events: count64, bytes: count64 });
export const summary = z.object({
  tenant_id: z.string(),
  month: z.string(),
  period,
  as_of: asOfTime,
  total_events: count64,
  total_bytes: count64,
  millions_of_events: z.number().describe('rounded to two decimals; total_events is exact'),
  by_type: z.array(typeUsage),
  quota_events: count64.nullable(),
  quota_used_percent: z.number().nullable(),
  quota_bytes: count64.nullable(),
  thresholds: z.array(
    z.object({ threshold_percent: z.number(), dimension: z.string(), reached: z.boolean() }),
  ),
  projected_events: count64,
  projected_bytes: count64,
});

/** What was counted: the same figures as the commands `usage` and `billing`. */
export function usageRoutes(
  app: App,
  { store, now, cursors }: { store: Store; now: () => Date; cursors: Cursors },
): void {
  const config = { access: 'read usage' } as const;
  const common = { tags: ['usage'], security: BY_TOKEN };
  const failures = problems(400, 401, 403, 429, 503);

  app.get(
    '/api/v1/usage/breakdown',
    {
      config,
      schema: {
        ...common,
        summary: 'Events and bytes of a period, by type, service, attribute or time',
        description: 'As JSON, or with Accept: text/csv as CSV. The header link names the next page.',
        querystring: breakdownQuery,
        response: {
          200: {
            description: 'The breakdown',
            content: { 'application/json': { schema: breakdown }, 'text/csv': { schema: z.string() } },
          },
          ...failures,
        },
      },
    },
    async (request, reply) => {
      const { since, until, limit, cursor, as_of, tenant_id } = request.query;
      const groupBy = parseGrouping(request.query.group_by, GROUPINGS, 'group_by');
      const byTenant = groupBy === 'tenant_id';
      if (byTenant && !may(principalOf(request), 'name a tenant')) throw forbidden('name a tenant');
      const tenant = byTenant && tenant_id === undefined ? null : tenantOf(request, tenant_id);
      const query = [tenant, groupBy, since, until ?? null, as_of ?? null];
      const from = cursor === undefined ? undefined : await cursors.open(cursor, query);
      const asOf = parseAsOf(as_of, now(), 'as_of');
      const found = await usage(store, {
        tenantId: tenant,
        period: from?.period ?? parsePeriod(since, until, asOf ?? now(), { since: 'since', until: 'until' }),
        groupBy,
        limit,
        asOf,
        ...(from ? { after: from.after } : {}),
      });
      const next = found.next && (await cursors.seal(query, found.period, found.next));
      reply.header('vary', 'accept');
      if (next) reply.header('link', `<${nextPage(request.query, next)}>; rel="next"`);
      if (prefersCsv(request.headers.accept)) return reply.type('text/csv; charset=utf-8').send(csvOf(found));
      const { period, as_of: time, breakdown, total_events, total_bytes } = usageJson(found);
      return {
        period,
        ...(time && { as_of: time }),
        breakdown,
        total_events,
        total_bytes,
        ...(next ? { next_cursor: next } : {}),
      };
    },
  );

  app.get(
    '/api/v1/usage/summary',
    {
      config,
      schema: {
        ...common,
        summary: "A month's usage, quota and projection",
        querystring: z.strictObject({
          month: z.string().max(7).optional().describe('like 2026-11, UTC; default the current one'),
          as_of: asOfQuery,
          tenant_id: tenantParameter,
        }),
        response: { 200: summary, ...failures },
      },
    },
    async (request) => {
      const { month, as_of, tenant_id } = request.query;
      const moment = now();
      const asOf = parseAsOf(as_of, moment, 'as_of');
      const { found } = await bill(store, {
        tenantId: tenantOf(request, tenant_id),
        month: parseMonth(month, asOf ?? moment, 'month'),
        now: moment,
        asOf,
      });
      return summary.parse(billingJson(found));
    },
  );
}

function nextPage(query: z.infer<typeof breakdownQuery>, cursor: string): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...query, cursor })) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return `/api/v1/usage/breakdown?${parameters}`;
}

function csvOf({ rows, groupBy }: Usage): string {
  return renderCsv({
    data: null,
    rows: rows.map((row) => usageCells(row, groupBy)),
    columns: [
      { key: groupBy, title: groupBy, kind: 'text' },
      ...(isAttribute(groupBy) ? [{ key: 'kind', title: 'kind', kind: 'text' } as const] : []),
      { key: 'events', title: 'events', kind: 'count' },
      { key: 'bytes', title: 'bytes', kind: 'bytes' },
    ],
  });
}
