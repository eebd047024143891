import type { SMTPSentMessageInfo } from 'nodemailer';
import { type Digest, lines, subject } from '../message.ts';
import { type Channel, type ChannelSettings, failure, type Sent } from './channel.ts';

/** E-mail by SMTP, as plain text and HTML. */
export function emailChannel({ smtpUrl, smtpFrom }: ChannelSettings): Channel {
  return {
    async send(digest, target, { signal }): Promise<Sent> {
      if (!smtpUrl || !smtpFrom) {
        return {
          delivered: false,
          detail: `${smtpUrl ? 'INFRASAGE_SMTP_FROM' : 'INFRASAGE_SMTP_URL'} is not set`,
        };
      }
      const secrets = [smtpUrl, ...credentials(smtpUrl)];
      try {
        const { createTransport } = await import('nodemailer');
        const transport = createTransport(smtpUrl);
        signal.addEventListener('abort', () => transport.close());
        const sending = transport.sendMail(mail(digest, { to: target, from: smtpFrom }));
        try {
          return outcome(await orAborted(sending, signal), target);
        } finally {
          transport.close();
        }
      } catch (error) {
        return failure(error, secrets);
      }
    },
  };
}

function mail(digest: Digest, { to, from }: { to: string; from: string }) {
  const title = subject(digest);
  const body = lines(digest);
  return {
    from,
    // An address given as an object is one address, whatever is in it.
    to: { name: '', address: to },
    subject: title,
    messageId: `<${digest.id}@infrasage>`,
    headers: { 'Idempotency-Key': digest.id, 'Auto-Submitted': 'auto-generated' },
    text: `${body.map(({ head, details }) => `${head}\n  ${details}`).join('\n\n')}\n`,
    html: `<!doctype html><html><body><h1 style="font-size:1.1em">${escapeHtml(title)}</h1><ul>${body
      .map(({ head, details }) => `<li><strong>${escapeHtml(head)}</strong><br>${escapeHtml(details)}</li>`)
      .join('')}</ul></body></html>`,
  };
}

function outcome({ accepted, response }: SMTPSentMessageInfo, target: string): Sent {
  return accepted.length > 0
    ? { delivered: true, detail: response }
    : { delivered: false, detail: `the server did not take the address ${target}: ${response}` };
}

/** A promise's value, or the signal's reason where that comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return Promise.race([
    promise,
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    }),
  ]);
}

function credentials(url: string): string[] {
  if (!URL.canParse(url)) return [];
  const { password } = new URL(url);
  return [password, decodeURIComponent(password)].filter(Boolean);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
