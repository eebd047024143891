import { z } from 'zod';
import { isoTime, parsePeriod } from '../../period.ts';
import { STEP_LENGTH, STEPS, usageSeries } from '../../reports/series.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { HttpProblem } from '../problem.ts';
import { count64 } from '../serializer.ts';
import { tenantParameter } from './tenant-query.ts';

/** Most steps of one answer: hours of twelve weeks, days of five years. */
const MOST_STEPS = 2_016;

/** Usage over time by type, in one answer: what a chart needs. */
export function seriesRoutes(app: App, { store, now }: { store: Store; now: () => Date }): void {
  app.get(
    '/api/v1/usage/series',
    {
      config: { access: 'read usage' },
      schema: {
        summary: 'Events and bytes over time, by type',
        description: `Steps and types without events are left out. At most ${MOST_STEPS} steps.`,
        tags: ['usage'],
        security: BY_TOKEN,
        querystring: z.strictObject({
          since: z.string().max(64).default('24h').describe('start, inclusive, as of the breakdown'),
          until: z.string().max(64).optional().describe('end, exclusive; default now'),
          step: z.enum(STEPS).default('hour').describe('UTC'),
          tenant_id: tenantParameter,
        }),
        response: {
          200: z.object({
            tenant_id: z.string(),
            period: z.object({ start: z.string(), end: z.string() }),
            step: z.enum(STEPS),
            points: z
              .array(
                z.object({
                  time: z.string().describe('start of the step: 2026-11-24T11:00:00Z, a day 2026-11-24'),
                  event_type: z.string(),
                  events: count64,
                  bytes: count64.describe('compressed, as stored'),
                }),
              )
              .describe('in the order of time and type'),
          }),
          ...problems(400, 401, 403, 429, 503),
        },
      },
    },
    async (request) => {
      const { since, until, step, tenant_id } = request.query;
      const period = parsePeriod(since, until, now(), { since: 'since', until: 'until' });
      if (period.end.getTime() - period.start.getTime() > MOST_STEPS * STEP_LENGTH[step]) {
        throw new HttpProblem(
          400,
          `the period is longer than ${MOST_STEPS} steps; ask for days, or a shorter one`,
        );
      }
      const tenant = tenantOf(request, tenant_id);
      const points = await usageSeries(store, { tenantId: tenant, period, step });
      return {
        tenant_id: tenant,
        period: { start: isoTime(period.start), end: isoTime(period.end) },
        step,
        points,
      };
    },
  );
}
