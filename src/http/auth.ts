import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { KeyRing } from '../access/keys.ts';
import { type Action, may, type Principal } from '../access/roles.ts';
import { KeysUnavailable, TokenRefused, type TokenVerifier } from '../access/tokens.ts';
import { HttpProblem, unavailable } from './problem.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller must be allowed to do; no route is without it. */
    access?: Action | 'public';
  }
  interface FastifyRequest {
    /** Who it is from; null on public routes. */
    principal: Principal | null;
    /**
     * Whether its credentials are valid to this moment, for what goes on for long: a key may have been revoked. A token
     * is valid for what was begun before it expired.
     */
    isStillValid: () => Promise<boolean>;
  }
}

/** Seconds after which a token is sent again that could not be looked at. */
const RETRY_AFTER = '5';

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i;

export interface GuardParts {
  tokens: TokenVerifier;
  keys: KeyRing;
  now: () => Date;
  /** Told of each request whose credentials are refused, or cannot be looked at; may throw another answer. */
  refused: (request: FastifyRequest) => Promise<void>;
}

/** Lets only those in who may do what a route is for. To be installed before any route. */
export function guard(app: FastifyInstance, { tokens, keys, now, refused }: GuardParts): void {
  app.decorateRequest('principal', null);
  app.decorateRequest('isStillValid', async () => true);

  app.addHook('onRoute', ({ method, url, config }) => {
    if (!config?.access) throw new Error(`the route ${method} ${url} does not say who may use it`);
  });

  app.addHook('onRequest', async (request) => {
    const { access } = request.routeOptions.config;
    // A path that is not there has no route, and nothing to protect.
    if (request.is404 || access === 'public') return;
    try {
      request.principal = await identify(request);
    } catch (error) {
      if (error instanceof KeysUnavailable) {
        request.log.error({ err: error }, 'the keys of tokens could not be fetched');
        await refused(request);
        throw unavailable({ 'retry-after': RETRY_AFTER });
      }
      if (!(error instanceof TokenRefused)) throw error;
      request.log.info({ reason: error.message }, 'credentials refused');
      await refused(request);
      throw new HttpProblem(401, 'a valid token or API key is needed', { 'www-authenticate': 'Bearer' });
    }
    if (access === undefined || !may(request.principal, access)) throw forbidden(access);
  });

  async function identify(request: FastifyRequest): Promise<Principal> {
    const bearers = valuesOf(request, 'authorization');
    const apiKeys = valuesOf(request, 'x-api-key');
    const [given, second] = [...bearers, ...apiKeys];
    if (given === undefined) throw new TokenRefused('none');
    // Of two, another program on the way may have looked at the other one.
    if (second !== undefined) throw new TokenRefused('more than one');
    if (apiKeys.length > 0) {
      const found = await keys.find(given, now());
      if (!found) throw new TokenRefused('no such API key, or revoked');
      request.isStillValid = async () => (await keys.find(given, now())) !== undefined;
      return found;
    }
    const [, token] = BEARER.exec(given) ?? [];
    if (token === undefined) throw new TokenRefused('no bearer token');
    return tokens.verify(token, now());
  }
}

/** Who a request to a guarded route is from. */
export function principalOf({ principal }: FastifyRequest): Principal {
  if (!principal) throw new Error('a public route has no principal');
  return principal;
}

/**
 * The tenant a request is about: the caller's own, or the one a super-admin names.
 * @throws HttpProblem 403
 */
export function tenantOf(request: FastifyRequest, named: string | undefined): string {
  const principal = principalOf(request);
  if (named === undefined) return principal.tenantId;
  if (!may(principal, 'name a tenant')) throw forbidden('name a tenant');
  return named;
}

const ACTION_WORDS: Record<Action, string> = {
  'read usage': 'read usage',
  ingest: 'send telemetry',
  'change settings': 'change alerts and quotas',
  'read metrics': 'read metrics',
  'name a tenant': 'name a tenant: the tenant comes from the token',
};

/** 403 for something that someone may not do. */
export function forbidden(action?: Action): HttpProblem {
  return new HttpProblem(403, `this role may not ${action ? ACTION_WORDS[action] : 'do this'}`);
}

/** Every value of a header, also of one that is sent twice, of which node shows only the first. */
function valuesOf({ raw }: FastifyRequest, name: string): string[] {
  return raw.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name);
}
