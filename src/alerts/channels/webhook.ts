import { createHmac } from 'node:crypto';
import { stringify } from 'lossless-json';
import { type Digest, firingJson, subject } from '../message.ts';
import { isAllowed, publicAgent, webhookFault } from './address.ts';
import { attempt, type Channel, type ChannelSettings, placeOf } from './channel.ts';
import { postJson } from './post.ts';

/** A signed POST of JSON to a URL that a tenant may have set. */
export function webhookChannel({ webhookSecret, webhookAllowHosts }: ChannelSettings): Channel {
  return {
    send: (digest, target, options) =>
      attempt(
        () => [...placeOf(target), webhookSecret ?? ''],
        async () => {
          if (!webhookSecret) return { delivered: false, detail: 'INFRASAGE_WEBHOOK_SECRET is not set' };
          // Looked at again: the list of allowed hosts may have changed since it was stored.
          const wrong = webhookFault(target, webhookAllowHosts);
          if (wrong) return { delivered: false, detail: `the webhook ${wrong}` };
          const body = bodyOf(digest);
          const headers = {
            'idempotency-key': digest.id,
            'infrasage-signature': signature(body, { secret: webhookSecret, now: options.now }),
          };
          if (isAllowed(new URL(target), webhookAllowHosts))
            return postJson(target, body, { headers, ...options });
          const dispatcher = publicAgent();
          try {
            return await postJson(target, body, { headers, dispatcher, ...options });
          } finally {
            await dispatcher.destroy();
          }
        },
      ),
  };
}

function bodyOf(digest: Digest): string {
  const alerts = digest.firings.map(firingJson);
  return stringify({ id: digest.id, test: digest.test, text: subject(digest), alerts }) ?? '';
}

/**
 * `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", hex>`: binds the body to
 * the time of the attempt, so that a receiver can refuse what is repeated later.
 */
export function signature(body: string, { secret, now }: { secret: string; now: Date }): string {
  const t = Math.floor(now.getTime() / 1000);
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`;
}
