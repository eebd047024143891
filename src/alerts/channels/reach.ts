import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isAllowed, publicLookup, webhookFault } from './address.ts';
import { attempt, placeOf, type Sent } from './channel.ts';
import { secretsOf } from './email.ts';

/** Whether a place can be reached: nothing is sent there. Untrusted text, without secrets. */
export interface Reached {
  reached: boolean;
  detail: string;
}

/** Connects to a mail server, greets it and where a user is named, logs in. */
export async function reachMail(smtpUrl: string, timeoutMs: number): Promise<Reached> {
  return reachedBy(
    () => secretsOf(smtpUrl),
    async () => {
      const { createTransport } = await import('nodemailer');
      const transport = createTransport(smtpUrl, {
        connectionTimeout: timeoutMs,
        greetingTimeout: timeoutMs,
        socketTimeout: timeoutMs,
      } as object);
      try {
        await transport.verify();
        return { delivered: true, detail: 'answers' };
      } finally {
        transport.close();
      }
    },
  );
}

/** Connects to the host of a URL, with TLS where it says https, and asks it for nothing. */
export async function reachUrl(
  url: string,
  { timeoutMs, publicOnly = false }: { timeoutMs: number; publicOnly?: boolean },
): Promise<Reached> {
  return reachedBy(
    () => placeOf(url),
    async () => {
      if (!URL.canParse(url)) return { delivered: false, detail: 'is not a URL' };
      await connected(new URL(url), { timeoutMs, publicOnly });
      return { delivered: true, detail: 'answers' };
    },
  );
}

/** The same for a webhook as alerts have them: what may not be sent to is not connected to. */
export async function reachWebhook(
  url: string,
  { timeoutMs, allowHosts }: { timeoutMs: number; allowHosts: readonly string[] },
): Promise<Reached> {
  const wrong = webhookFault(url, allowHosts);
  if (wrong) return { reached: false, detail: wrong };
  return reachUrl(url, { timeoutMs, publicOnly: !isAllowed(new URL(url), allowHosts) });
}

async function reachedBy(secrets: () => readonly string[], work: () => Promise<Sent>): Promise<Reached> {
  const { delivered, detail } = await attempt(secrets, work);
  return { reached: delivered, detail };
}

function connected(
  { protocol, hostname, port }: URL,
  { timeoutMs, publicOnly }: { timeoutMs: number; publicOnly: boolean },
): Promise<void> {
  const isTls = protocol === 'https:';
  const host = hostname.replace(/^\[|\]$/g, '');
  const to = {
    host,
    port: Number(port) || (isTls ? 443 : 80),
    ...(publicOnly && { lookup: publicLookup }),
  };
  return new Promise((resolve, reject) => {
    const socket = isTls
      ? connectTls({ ...to, ...(isIP(host) === 0 && { servername: host }) })
      : connectTcp(to);
    const end = (failure?: Error) => {
      socket.destroy();
      if (failure) reject(failure);
      else resolve();
    };
    socket.setTimeout(timeoutMs, () => end(new Error(`no answer in ${timeoutMs / 1000} seconds`)));
    socket.once(isTls ? 'secureConnect' : 'connect', () => end());
    socket.once('error', end);
  });
}
