import type { Socket } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import fastify, {
  type ConnectionError,
  type FastifyBaseLogger,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { KeyRing } from '../access/keys.ts';
import type { TokenVerifier } from '../access/tokens.ts';
import type { Store } from '../store/store.ts';
import type { App } from './app.ts';
import { guard } from './auth.ts';
import { Cursors } from './cursor.ts';
import { parseJsonBodies } from './json-body.ts';
import * as limits from './limits.ts';
import { refuseOtherMethods } from './methods.ts';
import { describeApi } from './openapi.ts';
import { type Failure, HttpProblem, rawProblem, toProblem } from './problem.ts';
import { alertRoutes } from './routes/alerts.ts';
import { billingRoutes } from './routes/billing.ts';
import { costsRoutes } from './routes/costs.ts';
import { dashboardRoutes } from './routes/dashboard.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { quotaRoutes } from './routes/quota.ts';
import { seriesRoutes } from './routes/series.ts';
import { telemetryRoutes } from './routes/telemetry.ts';
import { usageRoutes } from './routes/usage.ts';
import { serializerCompiler } from './serializer.ts';

/** What the server is made of. */
export interface ServerParts {
  store: Store;
  now: () => Date;
  newId: () => string;
  logger: FastifyBaseLogger;
  tokens: TokenVerifier;
  keys: KeyRing;
  /** Random bytes. */
  random: (size: number) => Buffer;
  /** Hosts that webhooks may name though they are not public. */
  webhookAllowHosts: readonly string[];
  /** Requests a minute of one caller. */
  requestsPerMinute: number;
  /** How long a body may take, ms. */
  bodyTime?: number;
  /** How long a header may take, ms. */
  headerTime?: number;
}

/** Builds the server; it does not listen yet. */
export async function buildServer(parts: ServerParts): Promise<App> {
  const app: App = fastify({
    loggerInstance: parts.logger,
    // One line a request is written below, when it is answered.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: parts.newId,
    bodyLimit: limits.MAX_BODY,
    // It bounds closing too, which would leave the engine to be closed under a batch that takes longer.
    pluginTimeout: 0,
    routerOptions: { maxParamLength: limits.MAX_PARAM },
    connectionTimeout: limits.IDLE,
    keepAliveTimeout: limits.KEEP_ALIVE,
    http: {
      maxHeaderSize: limits.MAX_HEADER,
      headersTimeout: parts.headerTime ?? limits.HEADER_TIME,
      connectionsCheckingInterval: 1_000,
    },
    clientErrorHandler: answerMalformed,
    // A path that cannot be decoded, or has an endless parameter: no hook has seen it.
    frameworkErrors: (error, request, reply: FastifyReply) => {
      mark(request, reply);
      void reply.send(toProblem(error, request, reply));
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = limits.MAX_CONNECTIONS;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(async (error: Failure, request, reply) => toProblem(error, request, reply));

  app.addHook('onRequest', async (request, reply) => {
    mark(request, reply);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions, principal } = request;
    request.log.info(
      {
        method,
        route: routeOptions.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        ...(principal ? { tenant_id: principal.tenantId, role: principal.role } : {}),
      },
      'answered',
    );
  });
  const refused = await limitRates(app, parts.requestsPerMinute);
  guard(app, { ...parts, refused });
  limits.limitBodyTime(app, parts.bodyTime ?? limits.BODY_TIME);
  parseJsonBodies(app);
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, async () => {
    throw new HttpProblem(404, 'there is nothing here');
  });
  const refuse = refuseOtherMethods(app);
  await describeApi(app);

  healthRoutes(app, parts);
  metricsRoutes(app, parts);
  usageRoutes(app, { ...parts, cursors: new Cursors(parts.random(32)) });
  billingRoutes(app, parts);
  costsRoutes(app, parts);
  alertRoutes(app, parts);
  quotaRoutes(app, parts);
  seriesRoutes(app, parts);
  deadLetterRoutes(app, parts);
  dashboardRoutes(app);
  await telemetryRoutes(app, parts);
  limits.limitClosing(app);
  refuse();
  return app;
}

/** On every answer. What is answered is one tenant's, and is for no cache. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

function mark(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({ ...HEADERS, 'x-request-id': request.id });
}

/**
 * Limits the requests of a caller: of a tenant and role where it is known, of an address where it is not.
 * @returns counts a request whose credentials were refused; throws where there were too many of its address
 */
async function limitRates(app: App, max: number): Promise<(request: FastifyRequest) => Promise<void>> {
  const tooMany = (headers?: Record<string, string>) =>
    new HttpProblem(429, 'too many requests: wait as long as the header retry-after says', headers);
  await app.register(rateLimit, {
    max,
    timeWindow: 60_000,
    hook: 'preParsing',
    keyGenerator: ({ principal, ip }) =>
      principal ? JSON.stringify([principal.tenantId, principal.role]) : ip,
    errorResponseBuilder: () => tooMany(),
  });
  const count = app.createRateLimit();
  return async (request) => {
    const { isAllowed, ...rest } = await count(request);
    if (!isAllowed && 'isExceeded' in rest && rest.isExceeded) {
      throw tooMany({ 'retry-after': String(rest.ttlInSeconds) });
    }
  };
}

/** Answers what node could not read as a request. */
function answerMalformed(error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  if (socket.writable) socket.write(rawProblem(status));
  socket.destroy(error);
}
