import type { SMTPSentMessageInfo } from 'nodemailer';
import { type Digest, lines, subject } from '../message.ts';
import { attempt, type Channel, type ChannelSettings, type Sent } from './channel.ts';

/** E-mail by SMTP, as plain text and HTML. */
export function emailChannel({ smtpUrl, smtpFrom }: ChannelSettings): Channel {
  return {
    send: (digest, target, { signal }) =>
      attempt(
        () => secretsOf(smtpUrl ?? ''),
        async () => {
          if (!smtpUrl) return { delivered: false, detail: 'INFRASAGE_SMTP_URL is not set' };
          if (!smtpFrom) return { delivered: false, detail: 'INFRASAGE_SMTP_FROM is not set' };
          const { createTransport } = await import('nodemailer');
          const transport = createTransport(smtpUrl);
          try {
            return outcome(
              await transport.sendMail({ ...mail(digest, { to: target, from: smtpFrom }), signal }),
              target,
            );
          } finally {
            transport.close();
          }
        },
      ),
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

/** The URL and the password in it, as written and as meant. */
export function secretsOf(url: string): string[] {
  if (!URL.canParse(url)) return [url];
  const { password } = new URL(url);
  try {
    return [url, password, decodeURIComponent(password)];
  } catch {
    return [url, password];
  }
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
