// The HTTP API, as the dashboard asks it.

import { parse } from './json.js';

/** @import { Amount } from './format.js' */

/**
 * @typedef {{ start: string, end: string }} Period
 * @typedef {{ time: string, event_type: string, events: Amount, bytes: Amount }} Point
 * @typedef {{ period: Period, step: 'hour' | 'day', points: Point[] }} Series
 * @typedef {{ threshold_percent: number, dimension: string, reached: boolean }} Threshold
 *
 * @typedef {object} Summary
 * @property {string} tenant_id
 * @property {string} month
 * @property {Amount} total_events
 * @property {Amount} total_bytes
 * @property {Amount | null} quota_events
 * @property {Amount | null} quota_bytes
 * @property {Threshold[]} thresholds
 * @property {Amount} projected_events
 * @property {Amount} projected_bytes
 *
 * @typedef {object} Breakdown
 * @property {{ service_id?: string, tenant_id?: string, events: Amount, bytes: Amount }[]} breakdown
 * @property {Amount} total_events
 * @property {Amount} total_bytes
 *
 * @typedef {{ error: string, lines: Amount, last_received_at: string }} Cause
 * @typedef {{ causes: Cause[], total: Amount, without_tenant?: Cause[] }} Letters
 */

/** How long an answer may take, ms. */
const PATIENCE = 30_000;

/** Why there is no answer, in words for whoever looks. */
export class NoAnswer extends Error {
  /** @param {string} message @param {number} status of the answer; 0 where there was none */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks the API.
 * @param {string} token
 * @param {string} path below /api/v1
 * @param {Record<string, string | undefined>} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} the answer
 * @throws {NoAnswer} where there is none; an AbortError where the signal ended it
 */
async function get(token, path, query, signal) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, value);
  const timeout = AbortSignal.timeout(PATIENCE);
  let response;
  let text;
  try {
    response = await fetch(`/api/v1/${path}?${parameters}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      credentials: 'omit',
      redirect: 'error',
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NoAnswer(
      timeout.aborted ? 'the server did not answer in time' : 'the server cannot be reached',
      0,
    );
  }
  const answer = parse(text);
  if (response.ok && answer !== undefined) return answer;
  throw new NoAnswer(reason(response, answer), response.status);
}

/**
 * What the server said was wrong.
 * @param {Response} response
 * @param {any} problem
 */
function reason({ status, headers }, problem) {
  const wait = headers.get('retry-after');
  if (status === 429) return `too many requests${wait ? `; wait ${wait} seconds` : ''}`;
  const detail = typeof problem?.detail === 'string' ? problem.detail : `the server answered ${status}`;
  return status >= 500 && problem?.request_id ? `${detail} (request ${problem.request_id})` : detail;
}

/** @typedef {{ since: string, until?: string }} Span */

/**
 * What the dashboard asks for, with one token and about one tenant.
 * @param {string} token
 * @param {string | undefined} tenant undefined: that of the token
 * @param {AbortSignal} [signal]
 */
export function asking(token, tenant, signal) {
  /** @param {string} path @param {Record<string, string | undefined>} [query] */
  const ask = (path, query = {}) => get(token, path, { ...query, tenant_id: tenant }, signal);
  return {
    /** @returns {Promise<Summary>} */
    summary: () => ask('usage/summary'),
    /** @param {Span} span @param {'hour' | 'day'} step @returns {Promise<Series>} */
    series: (span, step) => ask('usage/series', { ...span, step }),
    /** @param {Span} span @param {number} limit @returns {Promise<Breakdown>} */
    services: (span, limit) =>
      ask('usage/breakdown', { ...span, group_by: 'service_id', limit: String(limit) }),
    /** @param {Span} span @returns {Promise<Letters>} */
    letters: (span) => ask('dlq/summary', { ...span }),
    /** The largest tenants of the last 90 days. @returns {Promise<Breakdown>} */
    tenants: () =>
      get(token, 'usage/breakdown', { group_by: 'tenant_id', since: '90d', limit: '1000' }, signal),
  };
}
