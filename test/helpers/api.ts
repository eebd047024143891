import { randomBytes, randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { type JWTHeaderParameters, SignJWT } from 'jose';
import { KeyRing } from '../../src/access/keys.ts';
import type { Role } from '../../src/access/roles.ts';
import { tokenVerifier } from '../../src/access/tokens.ts';
import type { TokenSettings } from '../../src/config.ts';
import type { App } from '../../src/http/app.ts';
import { createLogger } from '../../src/http/log.ts';
import { buildServer, type ServerParts } from '../../src/http/server.ts';
import type { Store } from '../../src/store/store.ts';

export const SECRET = 'a secret of thirty-two bytes or more';
export const NOW = new Date('2024-03-05T12:00:00Z');
const SECONDS = NOW.getTime() / 1000;

/** A server that does not listen yet, and what it has logged. */
export async function server(
  store: Store,
  { tokens = {}, ...parts }: Partial<Omit<ServerParts, 'tokens'>> & { tokens?: Partial<TokenSettings> } = {},
): Promise<{ app: App; log: () => string }> {
  const out = new PassThrough();
  const chunks: Buffer[] = [];
  out.on('data', (chunk: Buffer) => chunks.push(chunk));
  const app = await buildServer({
    store,
    now: () => NOW,
    newId: randomUUID,
    logger: createLogger(out, 'debug'),
    tokens: tokenVerifier({
      key: { kind: 'secret', secret: SECRET },
      audience: undefined,
      issuer: undefined,
      ...tokens,
    }),
    keys: new KeyRing(store),
    random: randomBytes,
    webhookAllowHosts: [],
    requestsPerMinute: 1_000_000,
    ...parts,
  });
  return { app, log: () => Buffer.concat(chunks).toString() };
}

/** A token that is valid, but for what is given otherwise; undefined leaves a claim out. */
export async function token(
  claims: Record<string, unknown> = {},
  { header = {}, key = Buffer.from(SECRET) }: { header?: Partial<JWTHeaderParameters>; key?: Key } = {},
): Promise<string> {
  const all = { tenant_id: 'acme-corp', role: 'viewer', exp: SECONDS + 3600, ...claims };
  return new SignJWT(all).setProtectedHeader({ alg: 'HS256', ...header }).sign(key);
}
type Key = Parameters<SignJWT['sign']>[0];

/** The header of a request by a token of this role and tenant. */
export async function as(role: Role, tenant = 'acme-corp'): Promise<{ authorization: string }> {
  return { authorization: `Bearer ${await token({ role, tenant_id: tenant })}` };
}
