import { type Dispatcher, request } from 'undici';
import { excerpt, printable } from '../../render/text.ts';
import { type Sent, TRIED_FOR_MS } from './channel.ts';

/** Bytes of an answer that are looked at. */
const MOST_ANSWER = 2_048;

/**
 * Posts JSON. An answer of 2xx confirms it; a redirect is not followed.
 * @throws what undici throws where there is no answer
 */
export async function postJson(
  url: string,
  body: string,
  {
    headers = {},
    now,
    signal,
    dispatcher,
  }: { headers?: Record<string, string>; now: Date; signal: AbortSignal; dispatcher?: Dispatcher },
): Promise<Sent> {
  const response = await request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'infrasage', ...headers },
    body,
    signal,
    ...(dispatcher ? { dispatcher } : {}),
  });
  const answer = await start(response.body);
  const { statusCode } = response;
  if (statusCode >= 200 && statusCode < 300) return { delivered: true, detail: `HTTP ${statusCode}` };
  const said = answer ? `: ${excerpt(printable(answer), 200)}` : '';
  const redirect = statusCode >= 300 && statusCode < 400 ? ', and redirects are not followed' : '';
  const retryAfterMs = retryAfter(response.headers['retry-after'], now);
  return {
    delivered: false,
    detail: `the server answered ${statusCode}${redirect}${said}`,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** The start of an answer's text; where its end does not come, what there is. */
async function start(body: Dispatcher.ResponseData['body']): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      length += piece.length;
      if (length >= MOST_ANSWER) break;
    }
  } catch {
    // The status has come, and it decides.
  }
  return Buffer.concat(pieces).toString('utf8', 0, MOST_ANSWER);
}

/** `Retry-After`: seconds, or a date. What is no time is passed over; nobody is asked to wait for longer than a message is tried. */
function retryAfter(header: string | string[] | undefined, now: Date): number | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isFinite(ms) ? Math.min(TRIED_FOR_MS, Math.max(0, ms)) : undefined;
}
