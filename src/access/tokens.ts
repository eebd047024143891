import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  base64url,
  createRemoteJWKSet,
  errors,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
  SignJWT,
} from 'jose';
import { z } from 'zod';
import type { TokenSettings } from '../config.ts';
import { InfrasageError, usageError } from '../errors.ts';
import { tenantId } from '../settings/table.ts';
import { readJson } from '../strict-json.ts';
import { type Principal, ROLES, type Role } from './roles.ts';

/** Longest token that is looked at, characters. */
export const MAX_TOKEN = 8192;

/** Smallest RSA key that is taken, bits. */
const MIN_RSA = 2048;

/**
 * Header members that name a key, or change how the rest is read. A verifier that heeded them would let
 * the bearer choose the key, so a token that has one is refused, however it is signed.
 */
const REFUSED_HEADERS = ['jku', 'jwk', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc'];

const claims = z.object({ tenant_id: tenantId, role: z.enum(ROLES) });

/** Why a token was refused: for the log, never for the bearer. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
}

/** The keys that tokens are checked with cannot be fetched now: nothing is known of the token. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
}

export interface TokenVerifier {
  /**
   * Who a token is of.
   * @throws TokenRefused whatever is wrong with it
   * @throws KeysUnavailable
   */
  verify(token: string, now: Date): Promise<Principal>;
}

/**
 * A verifier for the one kind of key that is configured. Its algorithms are fixed here, and never taken
 * from a token, so that a public key cannot pass for a shared secret.
 * @throws InfrasageError (exit 2) where the public key file holds no key that can be used
 */
export function tokenVerifier({ key, audience, issuer }: TokenSettings): TokenVerifier {
  const check = checker(key);
  const expected: JWTVerifyOptions = {
    requiredClaims: ['exp'],
    ...(audience === undefined ? {} : { audience }),
    ...(issuer === undefined ? {} : { issuer }),
  };
  return {
    async verify(token, now) {
      if (token.length > MAX_TOKEN) throw new TokenRefused(`longer than ${MAX_TOKEN} characters`);
      const [header, payload] = token.split('.');
      const members = once(header);
      const unwanted = REFUSED_HEADERS.find((name) => members.has(name));
      if (unwanted) throw new TokenRefused(`its header has ${unwanted}`);
      try {
        await check(token, { ...expected, currentDate: now });
      } catch (error) {
        if (error instanceof KeysUnavailable) throw error;
        throw new TokenRefused(error instanceof Error ? error.message : 'not verified', { cause: error });
      }
      // Read here a second time, strictly: of a claim given twice, others may have checked the other one.
      const found = claims.safeParse(Object.fromEntries(once(payload)));
      if (!found.success) throw new TokenRefused('its claims are not a tenant_id and a role');
      return { tenantId: found.data.tenant_id, role: found.data.role };
    },
  };
}

/**
 * Makes a token.
 * @param claimed.seconds how long it is valid
 * @throws InfrasageError (exit 2) where no shared secret is configured: only whoever has a private key signs with it
 */
export async function createToken(
  { key, audience, issuer }: TokenSettings,
  claimed: { tenantId: string; role: Role; seconds: number },
  { now, newId }: { now: Date; newId: () => string },
): Promise<string> {
  if (key.kind !== 'secret') {
    throw usageError(
      'tokens can be created only with INFRASAGE_JWT_SECRET',
      'where INFRASAGE_JWKS_URL or INFRASAGE_JWT_PUBLIC_KEY_FILE is set, the identity provider makes them',
    );
  }
  const issued = Math.floor(now.getTime() / 1000);
  const token = new SignJWT({ tenant_id: claimed.tenantId, role: claimed.role })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setJti(newId())
    .setIssuedAt(issued)
    .setExpirationTime(issued + claimed.seconds);
  if (audience !== undefined) token.setAudience(audience);
  if (issuer !== undefined) token.setIssuer(issuer);
  return token.sign(Buffer.from(key.secret));
}

type Check = (token: string, options: JWTVerifyOptions) => Promise<unknown>;

function checker(key: TokenSettings['key']): Check {
  switch (key.kind) {
    case 'secret': {
      const secret = Buffer.from(key.secret);
      return (token, options) => jwtVerify(token, secret, { ...options, algorithms: ['HS256'] });
    }
    case 'jwks': {
      const keys = remoteKeys(new URL(key.url));
      return (token, options) =>
        jwtVerify(token, keys, { ...options, algorithms: ['RS256', 'ES256', 'EdDSA'] });
    }
    case 'file': {
      const publicKey = readPublicKey(key.path);
      const algorithms = [algorithmOf(publicKey, key.path)];
      return (token, options) => jwtVerify(token, publicKey, { ...options, algorithms });
    }
  }
}

/** What a key set says of a token; whatever else it fails with has to do with the set itself. */
const ABOUT_THE_TOKEN = [
  'ERR_JWKS_NO_MATCHING_KEY',
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
  'ERR_JOSE_NOT_SUPPORTED',
];

function remoteKeys(url: URL): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url, { timeoutDuration: 5_000 });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (error instanceof errors.JOSEError && ABOUT_THE_TOKEN.includes(error.code)) throw error;
      throw new KeysUnavailable('INFRASAGE_JWKS_URL does not answer with a key set', { cause: error });
    }
  };
}

function readPublicKey(path: string): KeyObject {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new InfrasageError(`INFRASAGE_JWT_PUBLIC_KEY_FILE ${path} cannot be read`, { cause: error });
  }
  if (text.includes('PRIVATE KEY')) {
    throw usageError(
      `INFRASAGE_JWT_PUBLIC_KEY_FILE ${path} is a private key`,
      'give the public one: openssl pkey -in private.pem -pubout',
    );
  }
  try {
    return createPublicKey(text);
  } catch (error) {
    throw new InfrasageError(`INFRASAGE_JWT_PUBLIC_KEY_FILE ${path} is not a public key in PEM`, {
      cause: error,
    });
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, path: string): string {
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA) return 'RS256';
  if (asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  if (asymmetricKeyType === 'ed25519') return 'EdDSA';
  throw usageError(
    `INFRASAGE_JWT_PUBLIC_KEY_FILE ${path} is a key of another kind`,
    `give RSA of at least ${MIN_RSA} bits, P-256 or Ed25519`,
  );
}

/** The members of a part of a token, each there once. */
function once(part = ''): ReadonlyMap<string, unknown> {
  let bytes: Uint8Array;
  try {
    bytes = base64url.decode(part);
  } catch (error) {
    throw new TokenRefused('not base64url', { cause: error });
  }
  const read = readJson(bytes);
  if (!read.valid) throw new TokenRefused(`not JSON: ${read.reason}`);
  if (read.repeated.length > 0) throw new TokenRefused('a member is there twice');
  return read.members;
}
