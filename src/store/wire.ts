import { z } from 'zod';
import { EXIT, InfrasageError } from '../errors.ts';
import { FILE_FORMATS, lineOptions, type Params } from './store.ts';

/** Socket of a shared store, in its data directory. */
export const SOCKET = 'infrasage.sock';

/**
 * A session is one request that stays open; its end, however it comes, is the end of the session. It is asked for with
 * a database and the program's version, and answered with a hello. The calls of the session carry its id. What comes
 * in the answer after that, a line at a time, asks whether its client is alive, and is answered by a call.
 */
export const SESSION = '/session';
export const HEADERS = {
  database: 'infrasage-database',
  /** `yes` where a database that is not there is to be made. */
  create: 'infrasage-create',
  version: 'infrasage-version',
  hello: 'infrasage-hello',
  session: 'infrasage-session',
} as const;

/** What the sharing process answers first in a session, JSON in a header. */
export const hello = z.object({
  session: z.string(),
  engineVersion: z.string(),
  parallelism: z.number().int().positive(),
});

/** A bound value; JSON has no form for some. */
const single = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.object({ bigint: z.string() }),
  z.object({ date: z.iso.datetime() }),
]);
const values = z.record(z.string(), z.union([single, z.array(single)]));
type Packed = z.infer<typeof single>;

/** Bound values as JSON carries them. */
export function packParams(params: Params): z.infer<typeof values> {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => [
      name,
      isList(value) ? value.map(packValue) : packValue(value),
    ]),
  );
}

function packValue(value: Exclude<Params[string], readonly unknown[]>): Packed {
  if (typeof value === 'bigint') return { bigint: String(value) };
  return value instanceof Date ? { date: value.toISOString() } : value;
}

function unpackValue(packed: Packed): string | number | bigint | boolean | Date | null {
  if (packed === null || typeof packed !== 'object') return packed;
  return 'bigint' in packed ? BigInt(packed.bigint) : new Date(packed.date);
}

function isList(value: Params[string]): value is Extract<Params[string], readonly unknown[]> {
  return Array.isArray(value);
}

const params = values.transform(
  (packed) =>
    Object.fromEntries(
      Object.entries(packed).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.map(unpackValue) : unpackValue(value),
      ]),
    ) as Params,
);

const statement = z.object({ sql: z.string(), params });
const batch = z.object({
  batchId: z.string(),
  /** Name of the spool file: the folder is the store's own. */
  file: z.string().regex(/^[\w.#-]+\.ndjson$/),
  source: z.string(),
  firstLine: z.number(),
  crlf: z.boolean(),
  blank: z.boolean(),
  cut: z.array(z.object({ line: z.number(), length: z.number() })),
  bindings: z.array(z.object({ line: z.number(), tenant: z.string().nullable() })),
  receivedAt: z.iso.datetime().transform((time) => new Date(time)),
  options: lineOptions,
});

/** What each call of the store is sent with, by its path. */
export const CALLS = {
  '/query': statement,
  '/ask': z.object({ sql: z.string(), params: z.record(z.string(), z.string()), maxRows: z.number() }),
  '/extract': statement.extend({ format: z.enum(FILE_FORMATS), binary: z.boolean() }),
  '/command': statement,
  '/mutate': statement,
  '/insert': z.object({ table: z.string(), rows: z.array(z.record(z.string(), z.string())) }),
  '/insert-selected': z.object({
    table: z.string(),
    columns: z.array(z.string()),
    select: z.string(),
    params,
  }),
  '/write-batch': batch,
  '/judge-batch': batch,
  '/lock': z.object({ name: z.string(), mode: z.enum(['exclusive', 'shared']), wait: z.boolean() }),
  '/unlock': z.object({ lock: z.string() }),
  '/alive': z.object({}),
} as const;
export type Call = keyof typeof CALLS;
/** The body of a call, before it is JSON. */
export type Sent<C extends Call> = z.input<(typeof CALLS)[C]>;

/** The answer to /ask. */
export const asked = z.object({ answer: z.string() });

/** The answer to /lock: null where it was not to be waited for, and somebody has it. */
export const lockAnswer = z.object({ lock: z.string().nullable() });

const failure = z.object({
  /** Whether it has words for the operator. */
  known: z.boolean(),
  message: z.string(),
  kept: z.string(),
  hint: z.string(),
  exitStatus: z.literal([EXIT.finding, EXIT.usage, EXIT.failure]),
  /** Stacks of what caused it, outermost first, for --debug. */
  causes: z.array(z.string()),
});

/** An error as the other side gets it, with its causes' words. */
export function packError(error: unknown): z.infer<typeof failure> {
  const causes: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    causes.push(cause.stack ?? cause.message);
  if (error instanceof InfrasageError) {
    const { message, kept, hint, exitStatus } = error;
    return { known: true, message, kept, hint, exitStatus: exitStatus || EXIT.failure, causes };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { known: false, message, kept: '', hint: '', exitStatus: EXIT.failure, causes };
}

/** The error that was packed, to be thrown. */
export function unpackError(packed: unknown): Error {
  const { known, message, causes, ...details } = failure.parse(packed);
  const cause = causes.reduceRight<Error | undefined>((inner, stack) => {
    const error = new Error(stack.split('\n')[0], inner && { cause: inner });
    error.stack = stack;
    return error;
  }, undefined);
  return known ? new InfrasageError(message, { ...details, cause }) : new Error(message, { cause });
}
