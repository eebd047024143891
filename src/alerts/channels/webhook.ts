import { createHmac } from 'node:crypto';
import { stringify } from 'lossless-json';
import { firingJson, subject } from '../message.ts';
import { isAllowed, publicAgent, webhookFault } from './address.ts';
import { type Channel, type ChannelSettings, failure, type Sent } from './channel.ts';
import { postJson } from './post.ts';

/** A signed POST of JSON to a URL that a tenant may have set. */
export function webhookChannel({ webhookSecret, webhookAllowHosts }: ChannelSettings): Channel {
  return {
    async send(digest, target, { now, signal }): Promise<Sent> {
      if (!webhookSecret) return { delivered: false, detail: 'INFRASAGE_WEBHOOK_SECRET is not set' };
      // Looked at again: the list of allowed hosts may have changed since it was stored.
      const wrong = webhookFault(target, webhookAllowHosts);
      if (wrong) return { delivered: false, detail: `the webhook ${wrong}` };
      const url = new URL(target);
      const body =
        stringify({
          id: digest.id,
          test: digest.test,
          text: subject(digest),
          alerts: digest.firings.map(firingJson),
        }) ?? '';
      const agent = isAllowed(url, webhookAllowHosts) ? undefined : publicAgent();
      try {
        return await postJson(target, body, {
          headers: {
            'idempotency-key': digest.id,
            'infrasage-signature': signature(body, { secret: webhookSecret, now }),
          },
          signal,
          ...(agent ? { dispatcher: agent } : {}),
        });
      } catch (error) {
        const place = `${url.pathname}${url.search}`;
        return failure(error, [target, place.length > 1 ? place : undefined, webhookSecret]);
      } finally {
        await agent?.close();
      }
    },
  };
}

/**
 * `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", hex>`: binds the body to
 * the time of the attempt, so that a receiver can refuse what is repeated later.
 */
export function signature(body: string, { secret, now }: { secret: string; now: Date }): string {
  const t = Math.floor(now.getTime() / 1000);
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`;
}
