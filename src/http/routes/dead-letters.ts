import { z } from 'zod';
import { may } from '../../access/roles.ts';
import { isoTime, parsePeriod } from '../../period.ts';
import { causeJson, countLetters } from '../../reports/causes.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { principalOf, tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { count64 } from '../serializer.ts';
import { tenantParameter } from './tenant-query.ts';

const causes = z.array(
  z.object({ error: z.string().describe('the code'), lines: count64, last_received_at: z.string() }),
);

/** What was rejected, counted: no line that was sent is in it. */
export function deadLetterRoutes(app: App, { store, now }: { store: Store; now: () => Date }): void {
  app.get(
    '/api/v1/dlq/summary',
    {
      config: { access: 'read usage' },
      schema: {
        summary: 'Rejected lines by cause',
        description: 'By when they were received. Most lines first.',
        tags: ['usage'],
        security: BY_TOKEN,
        querystring: z.strictObject({
          since: z.string().max(64).default('24h').describe('start, inclusive, as of the breakdown'),
          until: z.string().max(64).optional().describe('end, exclusive; default now'),
          tenant_id: tenantParameter,
        }),
        response: {
          200: z.object({
            tenant_id: z.string(),
            period: z.object({ start: z.string(), end: z.string() }),
            causes,
            total: count64.describe('lines of this tenant'),
            without_tenant: causes
              .optional()
              .describe('lines of which it is not known whose they are; for a super-admin'),
          }),
          ...problems(400, 401, 403, 429, 503),
        },
      },
    },
    async (request) => {
      const { since, until, tenant_id } = request.query;
      const tenant = tenantOf(request, tenant_id);
      const period = parsePeriod(since, until, now(), { since: 'since', until: 'until' });
      const unknownToo = may(principalOf(request), 'name a tenant');
      const { ofTenant, ofNone } = await countLetters(store, { tenantId: tenant, period, unknownToo });
      return {
        tenant_id: tenant,
        period: { start: isoTime(period.start), end: isoTime(period.end) },
        causes: ofTenant.map(causeJson),
        total: ofTenant.reduce((sum, { lines }) => sum + lines, 0n),
        ...(unknownToo ? { without_tenant: ofNone.map(causeJson) } : {}),
      };
    },
  );
}
