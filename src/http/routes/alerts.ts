import { z } from 'zod';
import { may } from '../../access/roles.ts';
import { type Alert, addAlert, alertJson, listAlerts, removeAlert } from '../../alerts/alerts.ts';
import { assertWebhookUrl } from '../../alerts/channels/address.ts';
import { alertHistory, pastJson, shownTarget } from '../../alerts/history.ts';
import { parseMoment } from '../../period.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { principalOf, tenantOf } from '../auth.ts';
import { BY_TOKEN, problems } from '../openapi.ts';
import { HttpProblem } from '../problem.ts';
import { count64 } from '../serializer.ts';
import { tenantParameter, tenantQuery } from './tenant-query.ts';

const PATH = '/api/v1/usage/alerts';
const MOST_FIRINGS = 1_000;

const newAlert = z
  .strictObject({
    threshold_percent: z
      .number()
      .min(1)
      .max(1_000)
      .multipleOf(0.01)
      .optional()
      .describe('fires at this share of the monthly quota; several give progressive warnings'),
    silent_seconds: z
      .int()
      .min(1)
      .max(366 * 86_400)
      .optional()
      .describe('instead of threshold_percent: fires when nothing has come for so long'),
    service_id: z
      .string()
      .min(1)
      .max(256)
      .nullish()
      .describe('with silent_seconds: nothing from this service'),
    notify_email: z
      .email('must be an e-mail address')
      .max(254)
      .nullish()
      .describe(
        'of an alert that is there, what is not given of the three channels stays; null takes it away',
      ),
    notify_slack: z.boolean().optional(),
    notify_webhook: z.string().max(2_048).nullish().describe('an https URL of a public host'),
  })
  .refine((body) => (body.threshold_percent === undefined) !== (body.silent_seconds === undefined), {
    error: 'give either threshold_percent or silent_seconds',
  })
  .refine((body) => body.silent_seconds !== undefined || body.service_id == null, {
    error: 'service_id needs silent_seconds',
  });

/** What an alert fires on: the schema has one of the two. */
function kindOf({ threshold_percent, silent_seconds = 0, service_id }: z.infer<typeof newAlert>) {
  return threshold_percent === undefined
    ? ({ kind: 'silence', silentSeconds: silent_seconds, serviceId: service_id ?? '' } as const)
    : ({ kind: 'usage', percent: threshold_percent } as const);
}

const alert = z.object({
  id: z.string(),
  tenant_id: z.string(),
  threshold_percent: z.number().optional(),
  silent_seconds: z.int().optional(),
  service_id: z.string().nullable().optional(),
  notify_email: z.string().nullable(),
  notify_slack: z.boolean(),
  notify_webhook: z.string().nullable().describe('only its origin for those who may not change alerts'),
});

/**
 * Where a message went and what the other side said are not in it: the default alerts, which fire for a tenant
 * too, are the operator's.
 */
const firing = z.object({
  id: z.string(),
  kind: z.string(),
  alert_id: z.string(),
  tenant_id: z.string(),
  fired_at: z.string(),
  month: z.string().optional(),
  late: z.boolean().optional(),
  dimension: z.string().optional(),
  threshold_percent: z.number().optional(),
  used: count64.optional(),
  quota: count64.optional(),
  used_percent: z.number().optional(),
  days_left: z.number().nullable().optional(),
  full_at: z.string().nullable().optional(),
  service_id: z.string().nullable().optional(),
  silent_seconds: z.int().optional(),
  last_event_at: z.string().optional(),
  deliveries: z.array(
    z.object({
      channel: z.string(),
      message_id: z.string(),
      delivered: z.boolean(),
      attempts: z.array(z.object({ attempt: z.int(), at: z.string(), outcome: z.string() })),
    }),
  ),
});

export interface AlertParts {
  store: Store;
  now: () => Date;
  random: (size: number) => Buffer;
  /** Hosts that webhooks may name though they are not public. */
  webhookAllowHosts: readonly string[];
}

/** A tenant's alerts: the same as the commands `alerts add`, `list`, `remove` and `history`. */
export function alertRoutes(app: App, { store, now, random, webhookAllowHosts }: AlertParts): void {
  const common = { tags: ['alerts'], security: BY_TOKEN };
  const reading = { access: 'read usage' } as const;
  const changing = { access: 'change settings' } as const;
  const failures = problems(400, 401, 403, 429, 503);

  app.post(
    PATH,
    {
      config: changing,
      schema: {
        ...common,
        summary: 'Store an alert; the same threshold, or the same silence, again updates it',
        querystring: tenantQuery,
        body: newAlert,
        response: { 200: alert.describe('Updated'), 201: alert.describe('Added'), ...failures, ...BODIES },
      },
    },
    async (request, reply) => {
      const { body } = request;
      const tenantId = tenantOf(request, request.query.tenant_id);
      if (body.notify_webhook != null) assertWebhookUrl(body.notify_webhook, webhookAllowHosts);
      const { alert, before } = await addAlert(
        store,
        {
          ...kindOf(body),
          tenantId,
          email: body.notify_email,
          slack: body.notify_slack,
          webhook: body.notify_webhook,
        },
        { now: now(), newId: () => random(6).toString('hex') },
      );
      return reply.code(before ? 200 : 201).send(ownJson(alert));
    },
  );

  app.get(
    PATH,
    {
      config: reading,
      schema: {
        ...common,
        summary: "The tenant's own alerts",
        querystring: tenantQuery,
        response: { 200: z.object({ alerts: z.array(alert) }), ...failures },
      },
    },
    async (request) => {
      const all = (await listAlerts(store, tenantOf(request, request.query.tenant_id))).map(ownJson);
      if (may(principalOf(request), 'change settings')) return { alerts: all };
      // The path of a webhook is often its password.
      return {
        alerts: all.map((one) => ({
          ...one,
          notify_webhook: one.notify_webhook && shownTarget('webhook', one.notify_webhook),
        })),
      };
    },
  );

  app.delete(
    `${PATH}/:id`,
    {
      config: changing,
      schema: {
        ...common,
        summary: 'Remove an alert',
        params: z.object({ id: z.string().describe('its id, or the percent of a threshold') }),
        querystring: tenantQuery,
        response: { 200: alert.describe('Removed'), ...failures, ...problems(404) },
      },
    },
    async (request) => {
      const removed = await removeAlert(store, {
        tenantId: tenantOf(request, request.query.tenant_id),
        idOrPercent: request.params.id,
        now: now(),
      });
      if (!removed) throw new HttpProblem(404, 'there is no such alert');
      return ownJson(removed);
    },
  );

  app.get(
    `${PATH}/history`,
    {
      config: reading,
      schema: {
        ...common,
        summary: 'What has fired for the tenant, latest first, and whether it was delivered',
        querystring: z.strictObject({
          since: z.string().max(64).default('90d').describe('a span before now, a date, or RFC 3339'),
          limit: z.coerce.number().int().min(1).max(MOST_FIRINGS).default(50),
          tenant_id: tenantParameter,
        }),
        response: { 200: z.object({ alerts: z.array(firing) }), ...failures },
      },
    },
    async (request) => {
      const { since, limit, tenant_id } = request.query;
      const past = await alertHistory(store, {
        since: parseMoment(since, 'since', now()),
        tenantId: tenantOf(request, tenant_id),
        limit,
      });
      return { alerts: past.map((one) => firing.parse(pastJson(one))) };
    },
  );
}

const BODIES = problems(408, 413, 415);

/** An alert of a tenant's own, not a default one. */
function ownJson(alert: Alert) {
  return { ...alertJson(alert), tenant_id: alert.tenantId };
}
