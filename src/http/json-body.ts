import type { FastifyInstance } from 'fastify';
import { parse } from 'lossless-json';
import { readJson } from '../strict-json.ts';
import { HttpProblem } from './problem.ts';

/**
 * Bodies are JSON, whether they say so or not: `curl -d` calls what it sends a form. Read as strictly as events:
 * UTF-8, no top-level member twice; integers beyond 2^53 arrive as bigint.
 */
export function parseJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    ['application/json', 'application/x-www-form-urlencoded'],
    { parseAs: 'buffer' },
    async (_request: unknown, body: Buffer) => {
      if (body.length === 0) return undefined;
      const read = readJson(body);
      if (!read.valid) throw new HttpProblem(400, `the body is not JSON: ${read.reason}`);
      const [twice] = read.repeated;
      if (twice !== undefined) throw new HttpProblem(400, 'the body has a member twice');
      return parse(body.toString(), null, exactNumber);
    },
  );
}

function exactNumber(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) || !/^-?\d+$/.test(text) ? number : BigInt(text);
}
