import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { z } from 'zod';
import { tableSizes } from '../../reports/storage.ts';
import type { Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { BY_TOKEN, problems } from '../openapi.ts';

const BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Figures for Prometheus. No label holds a tenant, nor a path as it was sent, only a route; they still tell of
 * all tenants' load, so that they are for machines (system) and super-admins.
 */
export function metricsRoutes(app: App, { store }: { store: Store }): void {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const labelNames = ['method', 'route', 'status'] as const;
  const requests = new Counter({
    name: 'infrasage_http_requests_total',
    help: 'Requests answered',
    labelNames,
    registers,
  });
  const durations = new Histogram({
    name: 'infrasage_http_request_duration_seconds',
    help: 'Time from the header of a request to the end of its answer',
    labelNames,
    buckets: BUCKETS,
    registers,
  });
  const gauge = (what: string, help: string) =>
    new Gauge({ name: `infrasage_table_${what}`, help, labelNames: ['table'], registers });
  const gauges = {
    rows: gauge('rows', 'Rows of a table'),
    bytes: gauge('bytes', 'Bytes of a table on disk'),
    parts: gauge('parts', 'Parts of a table'),
  };

  app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
    // A path that is not there is the caller's own text, without end.
    const labels = { method, route: routeOptions.url ?? 'none', status: String(reply.statusCode) };
    requests.inc(labels);
    durations.observe(labels, reply.elapsedTime / 1000);
  });

  app.get(
    '/metrics',
    {
      config: { access: 'read metrics' },
      schema: {
        summary: 'Figures for Prometheus',
        description: 'For the roles system and super-admin.',
        tags: ['operation'],
        security: BY_TOKEN,
        response: {
          200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } },
          ...problems(401, 403, 429, 503),
        },
      },
    },
    async (_request, reply) => {
      for (const table of await tableSizes(store)) {
        gauges.rows.set({ table: table.table }, Number(table.rows));
        gauges.bytes.set({ table: table.table }, Number(table.bytes));
        gauges.parts.set({ table: table.table }, Number(table.parts));
      }
      reply.type(registry.contentType);
      return registry.metrics();
    },
  );
}
