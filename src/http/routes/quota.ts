import { z } from 'zod';
import { quotaJson, readQuotas, setQuota, unsetQuota } from '../../alerts/quotas.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { count64 } from '../serializer.ts';
import { tenantQuery } from './tenant-query.ts';

const PATH = '/api/v1/usage/quota';

/** A limit as it is sent: a whole number from 1 to 2^64 - 1. */
const limit = z
  .union([z.int(), z.bigint()], 'must be a whole number')
  .transform((value) => BigInt(value))
  .refine(
    (value) => value >= 1n && value < 2n ** 64n,
    'must be a whole number from 1 to 18446744073709551615',
  )
  .meta({ type: 'integer', format: 'uint64', minimum: 1 })
  .optional();

const quota = z.object({
  tenant_id: z.string(),
  monthly_events: count64.nullable(),
  monthly_bytes: count64.nullable().describe('compressed, as stored'),
});

/** A tenant's quota: the same as the command `quota`. */
export function quotaRoutes(app: App, { store, now }: { store: Store; now: () => Date }): void {
  const common = { tags: ['quota'], security: BY_TOKEN, querystring: tenantQuery };
  const changing = { access: 'change settings' } as const;
  const failures = problems(400, 401, 403, 429, 503);

  const inForce = async (tenantId: string) => ({
    ...quotaJson(tenantId, (await readQuotas(store)).of(tenantId)),
    tenant_id: tenantId,
  });

  app.get(
    PATH,
    {
      config: { access: 'read usage' },
      schema: {
        ...common,
        summary: "The tenant's quota in force: its own, or the default; null: none",
        response: { 200: quota, ...failures },
      },
    },
    async (request) => inForce(tenantOf(request, request.query.tenant_id)),
  );

  app.put(
    PATH,
    {
      config: changing,
      schema: {
        ...common,
        summary: "Set the tenant's own quota; a limit that is not given stays as it is",
        body: z
          .strictObject({ monthly_events: limit, monthly_bytes: limit })
          .refine((body) => body.monthly_events !== undefined || body.monthly_bytes !== undefined, {
            error: 'give monthly_events, monthly_bytes or both',
          }),
        response: { 200: quota, ...failures, ...problems(408, 413, 415) },
      },
    },
    async (request) => {
      const { monthly_events: events, monthly_bytes: bytes } = request.body;
      const tenantId = tenantOf(request, request.query.tenant_id);
      await setQuota(
        store,
        tenantId,
        { ...(events === undefined ? {} : { events }), ...(bytes === undefined ? {} : { bytes }) },
        now(),
      );
      return inForce(tenantId);
    },
  );

  app.delete(
    PATH,
    {
      config: changing,
      schema: {
        ...common,
        summary: "Remove the tenant's own quota; the answer is what is in force then",
        response: { 200: quota, ...failures },
      },
    },
    async (request) => {
      const tenantId = tenantOf(request, request.query.tenant_id);
      await unsetQuota(store, tenantId, now());
      return inForce(tenantId);
    },
  );
}
