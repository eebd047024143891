// The token: kept for this tab alone, and read only to say who is signed in. The server decides what it is worth.

const KEY = 'infrasage.token';

export const kept = () => sessionStorage.getItem(KEY);
/** @param {string} token */
export const keep = (token) => sessionStorage.setItem(KEY, token);
export const forget = () => sessionStorage.removeItem(KEY);

/** @typedef {{ tenant: string, role: string, expires: Date | null }} Claims */

/**
 * What a token says of itself.
 * @param {string} token
 * @returns {Claims | null} null where it is no token
 */
export function claims(token) {
  const [, payload, signature] = token.split('.');
  if (!payload || !signature) return null;
  try {
    const binary = atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
    const text = new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
    const { tenant_id, role, exp } = JSON.parse(text);
    const expires = typeof exp === 'number' ? new Date(exp * 1000) : null;
    return { tenant: String(tenant_id), role: String(role), expires };
  } catch {
    return null;
  }
}

/** A token as it was pasted, without what comes along with it. @param {string} text */
export const pasted = (text) =>
  text.replace(/^\s*(authorization:)?\s*(bearer\s)?/i, '').replaceAll(/["'\s]/g, '');

const MAKE = 'Make one, with the secret of the server: infrasage token create --role viewer --tenant TENANT';

/**
 * Why a token cannot be used, before anyone is asked.
 * @param {string} token
 * @param {Date} now
 * @returns {string | null}
 */
export function faultOf(token, now) {
  if (token.startsWith('isage_')) return `That is an API key, which only sends telemetry. ${MAKE}`;
  const found = claims(token);
  if (!found) return `That is not a token: it has three parts with dots between. ${MAKE}`;
  if (found.expires && found.expires <= now)
    return `This token has expired, at ${said(found.expires)}. ${MAKE}`;
  return null;
}

/**
 * Why the server refused a token.
 * @param {string} token
 * @param {number} status 401 or 403
 * @param {Date} now
 */
export function refusal(token, status, now) {
  const found = claims(token);
  if (status === 403) return `The role of this token, ${found?.role}, may not read usage. ${MAKE}`;
  return faultOf(token, now) ?? `The server does not accept this token: it is not one of its own. ${MAKE}`;
}

/** @param {Date} time */
export const said = (time) => `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
