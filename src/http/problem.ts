import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { EXIT, InfrasageError } from '../errors.ts';
import { jsonText } from '../render/json.ts';

/** Body of every error (RFC 9457). */
export const problemSchema = z.object({
  type: z.literal('about:blank'),
  title: z.string().describe('the phrase of the status'),
  status: z.int(),
  detail: z.string().describe('what was wrong with this request'),
  request_id: z.string().optional().describe('as in the header x-request-id; names the request in the log'),
  errors: z
    .array(z.object({ where: z.string(), message: z.string() }))
    .optional()
    .describe('each value that was refused'),
});
type Problem = z.infer<typeof problemSchema>;

export const PROBLEM_TYPE = 'application/problem+json';

/** An answer that is an error, with words for the caller. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  /** Read by fastify too. */
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(statusCode: number, detail: string, headers: Record<string, string> = {}) {
    super(detail);
    this.statusCode = statusCode;
    this.headers = headers;
  }
}

/** What is said for the errors of the framework, whose own words may hold what was sent. */
const DETAILS: Record<number, string> = {
  400: 'the request cannot be read',
  404: 'there is nothing here',
  408: 'the request did not arrive in time',
  413: 'the body is too large',
  414: 'the path is too long',
  415: 'the body must be JSON',
  429: 'too many requests: wait as long as the header retry-after says',
  431: 'the header is too large',
  503: 'the server cannot answer now; try again in a moment',
};

const FAILED = 'the server failed; its log says why, under the id of this request';

/** That nothing can be said now, and no more. */
export function unavailable(headers: Record<string, string> = {}): HttpProblem {
  return new HttpProblem(503, DETAILS[503] ?? '', headers);
}

/** What handlers throw. */
export type Failure = FastifyError | HttpProblem | InfrasageError;

/**
 * The problem that an error becomes, as the body of its answer; sets the rest of the answer. What the caller did
 * wrong is said; of what went wrong here, the log has the cause and the caller has the id to find it by.
 */
export function toProblem(error: Failure, request: FastifyRequest, reply: FastifyReply): string {
  if (error instanceof HttpProblem) reply.headers(error.headers);
  const { status, detail, errors } = describe(error);
  if (status >= 500) request.log.error({ err: error }, 'request failed');
  reply.code(status).type(PROBLEM_TYPE);
  // Every 401 has the same bytes, so that none says more than another; its id is in the header.
  const id = status === 401 ? {} : { request_id: request.id };
  return jsonText(problem(status, detail, { ...id, ...(errors ? { errors } : {}) }));
}

/** A problem for what never became a request, as it goes over the wire. */
export function rawProblem(status: number): string {
  const body = jsonText(problem(status, DETAILS[status] ?? ''));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}

function problem(status: number, detail: string, more: Partial<Problem> = {}): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, ...more };
}

function describe(error: Failure): { status: number; detail: string; errors?: Problem['errors'] } {
  if (error instanceof HttpProblem) return { status: error.statusCode, detail: error.message };
  if (error instanceof InfrasageError) {
    // A failure's own words name files and what the engine said: they are for the log.
    if (error.exitStatus !== EXIT.usage) return { status: 503, detail: DETAILS[503] ?? '' };
    return { status: 400, detail: [error.message, error.hint].filter(Boolean).join('; ') };
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const place = error.validationContext ?? 'request';
    const errors = error.validation.map(({ instancePath, message }) => ({
      where: [place, ...instancePath.split('/').filter(Boolean)].join('.'),
      message: message ?? 'is wrong',
    }));
    return { status: 400, detail: `the ${place} is not as it must be`, errors };
  }
  const status = error.statusCode ?? 500;
  if (status < 400 || status >= 600) return { status: 500, detail: FAILED };
  return { status, detail: DETAILS[status] ?? (status < 500 ? (DETAILS[400] ?? '') : FAILED) };
}
