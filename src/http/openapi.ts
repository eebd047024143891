import swagger from '@fastify/swagger';
import { createJsonSchemaTransform } from 'fastify-type-provider-zod';
import { programVersion } from '../package.ts';
import type { App } from './app.ts';
import { PROBLEM_TYPE, problemSchema } from './problem.ts';

/** Describes the routes that follow, from their schemas, at /openapi.json. */
export async function describeApi(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'infrasage',
        description:
          'Usage of telemetry: events and bytes, by tenant. The tenant is that of the token. Errors are problem details (RFC 9457).',
        version: programVersion(),
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'telemetry', description: 'What is to be counted' },
        { name: 'usage', description: 'What was counted' },
        { name: 'alerts', description: 'What is to be told to whom, and what was' },
        { name: 'quota', description: 'What a month may hold' },
        { name: 'operation', description: 'The server itself' },
      ],
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
        },
      },
    },
    transform: createJsonSchemaTransform({}),
  });
  app.get('/openapi.json', { schema: { hide: true }, config: { access: 'public' } }, async () =>
    app.swagger(),
  );
}

/** The errors of a route, for its description. */
export function problems<Status extends number>(...statuses: Status[]) {
  const answer = {
    description: 'Problem details',
    content: { [PROBLEM_TYPE]: { schema: problemSchema } },
  };
  return Object.fromEntries(statuses.map((status) => [status, answer])) as Record<Status, typeof answer>;
}

/** What a route that needs a token says of it. */
export const BY_TOKEN = [{ token: [] }];

/** What a route that takes an API key too says of it. */
export const BY_TOKEN_OR_KEY = [...BY_TOKEN, { key: [] }];
