import type { FastifySerializerCompiler } from 'fastify';
import { ResponseSerializationError } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { jsonText } from '../render/json.ts';

/**
 * Writes answers by their schema: nothing that is not in it gets out, and 64-bit integers stay exact. They end in a
 * line feed, for terminals.
 */
export const serializerCompiler: FastifySerializerCompiler<z.ZodType> =
  ({ schema, method, url }) =>
  (data) => {
    const answer = schema.safeEncode(data);
    if (!answer.success) throw new ResponseSerializationError(method, url, { cause: answer.error });
    return `${jsonText(answer.data)}\n`;
  };

/** A count of events or bytes: a JSON number, exact to 64 bits. */
export const count64 = z.bigint().meta({ type: 'integer', format: 'uint64', minimum: 0 });
