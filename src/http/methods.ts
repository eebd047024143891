import type { FastifyInstance, HTTPMethods } from 'fastify';
import { HttpProblem } from './problem.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** The methods that each path takes. */
    paths: ReadonlyMap<string, ReadonlySet<string>>;
  }
}

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * Notes which methods each path has, from now on.
 * @returns to be called when all routes are there: makes the other methods of their paths answer 405, with Allow
 */
export function refuseOtherMethods(app: FastifyInstance): () => void {
  const paths = new Map<string, Set<string>>();
  let refusing = false;
  app.decorate('paths', paths);
  app.addHook('onRoute', ({ url, method }) => {
    if (refusing) return;
    const methods = paths.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    paths.set(url, methods);
  });
  return () => {
    refusing = true;
    for (const [url, methods] of paths) {
      const allow = METHODS.filter((name) => methods.has(name)).join(', ');
      const refuse = async (): Promise<never> => {
        throw new HttpProblem(405, `this path takes ${allow}`, { allow });
      };
      app.route({
        method: METHODS.filter((name) => !methods.has(name)),
        url,
        schema: { hide: true },
        config: { access: 'public' },
        // As early as can be: the body of such a request is of no interest.
        onRequest: refuse,
        handler: refuse,
      });
    }
  };
}
