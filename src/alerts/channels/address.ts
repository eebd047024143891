import { lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { Agent } from 'undici';
import { usageError } from '../../errors.ts';

/**
 * Whether a webhook may be stored: an https URL to a public host, without a
 * user and password in it. Hosts that the operator allows are exempt.
 * @throws InfrasageError (exit 2)
 */
export function assertWebhookUrl(text: string, allowHosts: readonly string[]): void {
  const wrong = webhookFault(text, allowHosts);
  if (wrong) throw usageError(`the webhook ${wrong}`, 'give an https URL of a public host');
}

/** What is wrong with the URL of a webhook, in words; undefined where nothing is. */
export function webhookFault(text: string, allowHosts: readonly string[]): string | undefined {
  if (!URL.canParse(text)) return 'must be a URL';
  const url = new URL(text);
  if (url.username || url.password) return 'must have no user and password in its URL';
  if (isAllowed(url, allowHosts)) {
    return url.protocol === 'https:' || url.protocol === 'http:' ? undefined : 'must be an http or https URL';
  }
  if (url.protocol !== 'https:') return 'must be an https URL';
  const host = hostOf(url);
  if (ipaddr.isValid(host) && !isPublic(host)) return `must not name the private address ${host}`;
  if (host === 'localhost' || host.endsWith('.localhost')) return 'must not name this machine';
  return undefined;
}

/**
 * Connects only to public addresses: what a name resolves to is looked at when
 * the connection is made, so that no second answer of a name server can differ.
 */
export function publicAgent(): Agent {
  return new Agent({ connect: { lookup: publicLookup } });
}

/** Resolves a name as usual, and fails where it is of an address that is not public. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, found) => {
    const wrong = found?.find(({ address }) => !isPublic(address));
    if (error || wrong || found.length === 0) {
      const refused = new Error(
        wrong ? `${hostname} is the private address ${wrong.address}` : `${hostname} is not found`,
      );
      callback(error ?? refused, '', 0);
      return;
    }
    const [first] = found;
    if (options.all) callback(null, found);
    else callback(null, first?.address ?? '', first?.family);
  });
};

/** Whether the operator has exempted a host, by its name or `name:port`. */
export function isAllowed(url: URL, allowHosts: readonly string[]): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return allowHosts.includes(hostOf(url)) || allowHosts.includes(`${url.hostname}:${port}`);
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** Also of IPv4 in IPv6 clothing, such as ::ffff:127.0.0.1. Of IPv6, only what is given out to the public: 2000::/3. */
function isPublic(address: string): boolean {
  const parsed = ipaddr.process(address);
  const [first = 0] = parsed.toByteArray();
  return parsed.range() === 'unicast' && (parsed.kind() === 'ipv4' || first >> 5 === 1);
}
