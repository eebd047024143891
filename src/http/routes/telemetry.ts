import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { may } from '../../access/roles.ts';
import { InfrasageError } from '../../errors.ts';
import { ERROR_CODES } from '../../ingest/contract.ts';
import { type Outcome, OutcomeUnread } from '../../intake/outcome.ts';
import { Refusal, type RefusalReason } from '../../intake/refusal.ts';
import { MOST_STREAM_FAILURES } from '../../intake/stream.ts';
import { MOST_RECORDS, Telemetry } from '../../intake/telemetry.ts';
import type { Upload } from '../../intake/upload.ts';
import { isDiskFull } from '../../store/failure.ts';
import { PLAIN_LINES, type Store } from '../../store/store.ts';
import type { App } from '../app.ts';
import { principalOf } from '../auth.ts';
import { chunksOf, discardRest } from '../chunks.ts';
import { liftBodyTime } from '../limits.ts';
import { BY_TOKEN_OR_KEY, problems } from '../openapi.ts';
import { HttpProblem } from '../problem.ts';

/** How long the rest of a body that is answered already is read, ms. */
const DISCARD_TIME = 10_000;

const JSON_TYPES = ['application/json', 'application/x-www-form-urlencoded'];
const NDJSON_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl'];

const record = z
  .looseObject({
    tenant_id: z.string().optional().describe('left out, it is that of the credentials; no other is taken'),
    service_id: z.string(),
    event_type: z.string(),
    timestamp: z.string(),
  })
  .describe('an event, see the event contract');

const answer = z.object({
  status: z.enum(['ok', 'partial', 'rejected']),
  queued: z.int().describe('accepted records: stored and metered, durable'),
  failed: z.int().describe('rejected records: kept as dead letters, not counted'),
  failures: z
    .array(
      z.object({
        index: z.int().describe('position in the body, from 0; of NDJSON, of the line'),
        error: z.enum(ERROR_CODES),
        message: z.string(),
      }),
    )
    .describe(`the rejected records; of a long NDJSON body, the first ${MOST_STREAM_FAILURES}`),
});

const headers = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .describe('1 to 255 printable characters; with it, a retry within 24 hours counts once'),
  'content-encoding': z.enum(['gzip', 'identity']).optional(),
});
const keyHeader = z.string().regex(/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/);

/** Telemetry comes in: the same pipeline and promises as the command `ingest`. */
export async function telemetryRoutes(
  root: App,
  { store, now, newId }: { store: Store; now: () => Date; newId: () => string },
): Promise<void> {
  const telemetry = new Telemetry(PLAIN_LINES, { store, now, id: newId });
  root.addHook('preClose', () => telemetry.close());

  await root.register(async (scope) => {
    const app: App = scope;
    // Bodies are read as they come, by the use case, whatever they are.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    // The schemas describe the body; the pipeline validates it.
    app.setValidatorCompiler(() => (value) => ({ value }));

    // What bounds senders is the memory that what they send may take: beyond it they are told to wait.
    const config = { access: 'ingest', rateLimit: false } as const;
    const common = {
      tags: ['telemetry'],
      security: BY_TOKEN_OR_KEY,
      headers,
      response: {
        200: answer.describe('ok, or partial where some records were rejected'),
        422: {
          description:
            'Every record was rejected (JSON), or the Idempotency-Key came with another body before',
          content: {
            'application/json': { schema: answer },
            ...problems(422)[422].content,
          },
        },
        ...problems(400, 401, 403, 408, 413, 415, 500, 503, 507),
      },
    };

    app.post(
      '/api/v1/telemetry',
      { config, schema: { ...common, summary: 'Send one event', body: record } },
      async (request, reply) => {
        typeOf(request, JSON_TYPES);
        return send(request, reply, (upload) => telemetry.one(upload));
      },
    );

    app.post(
      '/api/v1/telemetry/batch',
      {
        config,
        schema: {
          ...common,
          summary: 'Send many events',
          consumes: ['application/json', 'application/x-ndjson'],
          description: `A JSON array of at most ${MOST_RECORDS}, or one event a line (application/x-ndjson) without limit.`,
          body: z.array(record).max(MOST_RECORDS),
        },
      },
      async (request, reply) => {
        typeOf(request, [...JSON_TYPES, ...NDJSON_TYPES]);
        return isNdjson(request)
          ? send(request, reply, (upload) => telemetry.ndjson(upload))
          : send(request, reply, (upload) => telemetry.array(upload));
      },
    );
  });
}

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  take: (upload: Upload) => Promise<Outcome>,
): Promise<FastifyReply> {
  const { raw } = request;
  try {
    const outcome = await take(uploadOf(request));
    const status = outcome.failed === 0 ? 'ok' : outcome.queued > 0 ? 'partial' : 'rejected';
    return reply
      .code(status === 'rejected' ? 422 : 200)
      .type('application/json')
      .send({ status, ...outcome });
  } catch (error) {
    throw problemOf(error, request);
  } finally {
    if (!raw.readableEnded) discardRest(raw, DISCARD_TIME);
  }
}

function uploadOf(request: FastifyRequest): Upload {
  const { raw } = request;
  const principal = principalOf(request);
  const anyTenant = may(principal, 'name a tenant');
  const key = request.headers['idempotency-key'];
  if (key !== undefined && !keyHeader.safeParse(key).success) {
    throw new HttpProblem(400, 'an Idempotency-Key has 1 to 255 printable ASCII characters');
  }
  return {
    sender: {
      id: JSON.stringify([principal.tenantId, anyTenant ? 'any' : 'own']),
      tenant: anyTenant ? null : principal.tenantId,
    },
    body: chunksOf(raw),
    encoding: request.headers['content-encoding'],
    key: key === undefined ? undefined : String(key),
    onStream: () => liftBodyTime(request),
    mayGoOn: () => request.isStillValid(),
  };
}

function mediaType({ headers }: FastifyRequest): string {
  return (headers['content-type'] ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? '';
}

function isNdjson(request: FastifyRequest): boolean {
  return NDJSON_TYPES.includes(mediaType(request));
}

function typeOf(request: FastifyRequest, allowed: readonly string[]): void {
  if (allowed.includes(mediaType(request))) return;
  const types = allowed.filter((type) => type !== 'application/x-www-form-urlencoded');
  throw new HttpProblem(415, `the body must be ${types.join(' or ')}`);
}

const STATUS: Record<RefusalReason, number> = {
  malformed: 400,
  too_large: 413,
  unsupported: 415,
  key_reused: 422,
  revoked: 403,
  busy: 503,
};

/** What the sender is told: what is stored, and what to do. Causes that are the server's own are for its log. */
function problemOf(error: unknown, { log }: FastifyRequest): unknown {
  if (!(error instanceof InfrasageError)) return error;
  if (error instanceof Refusal) {
    if (error.cause instanceof HttpProblem) return error.cause;
    const retry = error.reason === 'busy' ? { 'retry-after': '1' } : {};
    return new HttpProblem(STATUS[error.reason], words(error.message, error.kept, error.hint), retry);
  }
  // No status that senders take for an invitation to send again.
  if (error instanceof OutcomeUnread) {
    log.error({ err: error }, 'the outcome of telemetry could not be read');
    return new HttpProblem(500, words(error.message, error.kept, error.hint));
  }
  log.error({ err: error }, 'telemetry was not written');
  if (isDiskFull(error)) return new HttpProblem(507, words('the disk of the server is full', error.kept));
  return new HttpProblem(503, words('the records could not be written', error.kept, 'send them again'), {
    'retry-after': '5',
  });
}

function words(...parts: string[]): string {
  return parts.filter(Boolean).join('; ');
}
