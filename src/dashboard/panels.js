// The tables.

import { bar, el, table } from './dom.js';
import { bytes, count, printable, share, shortTime, sum } from './format.js';

/** @import { Breakdown, Cause, Letters, Series } from './api.js' */
/** @import { Amount } from './format.js' */

/** The event types, in the order in which they are stacked and listed; the style sheet has a colour for each. */
export const TYPES = ['metric', 'log', 'trace', 'event', 'profile', 'slo'];

/** @param {string} type */
export const colourOf = (type) => (TYPES.includes(type) ? `--type-${type}` : '--type-other');

/** The types of a series: the known ones first, in their order. @param {Series} series */
export function typesOf({ points }) {
  const found = new Set(points.map(({ event_type }) => event_type));
  return [...TYPES.filter((type) => found.delete(type)), ...[...found].sort()];
}

/** The events and bytes of each type, largest first, and of all. @param {Series} series */
export function typeTotals(series) {
  const rows = typesOf(series).map((type) => {
    const points = series.points.filter(({ event_type }) => event_type === type);
    return {
      type,
      events: sum(points.map(({ events }) => events)),
      bytes: sum(points.map((point) => point.bytes)),
    };
  });
  rows.sort((a, b) => (b.events > a.events ? 1 : b.events < a.events ? -1 : 0));
  return { rows, events: sum(rows.map(({ events }) => events)), bytes: sum(rows.map((row) => row.bytes)) };
}

/** @param {Series} series @param {string} words of the period */
export function typePanel(series, words) {
  const { rows, events, bytes: all } = typeTotals(series);
  if (rows.length === 0) return nothing(`No events in ${words}.`);
  return table(
    `Usage by type in ${words}`,
    [
      { title: 'Type', kind: 'text' },
      { title: 'Events', kind: 'number' },
      { title: 'Stored', kind: 'number' },
      { title: 'Share', kind: 'extra' },
    ],
    rows.map((row) => [swatched(row.type), count(row.events), bytes(row.bytes), share(row.events, events)]),
    ['Total', count(events), bytes(all), ''],
  );
}

/** @param {string} type */
function swatched(type) {
  const swatch = el('span', { class: 'swatch' });
  swatch.style.setProperty('--colour', `var(${colourOf(type)})`);
  const name = el('span', {}, swatch);
  name.append(printable(type));
  return name;
}

/** A name from outside, kept apart from the order of the text around it. @param {string} text */
const named = (text) => el('bdi', { class: 'name' }, printable(text));

/** @param {Breakdown} found @param {string} words of the period */
export function servicePanel({ breakdown, total_events, total_bytes }, words) {
  if (breakdown.length === 0) return nothing(`No events in ${words}.`);
  const otherEvents = BigInt(total_events) - sum(breakdown.map(({ events }) => events));
  const otherBytes = BigInt(total_bytes) - sum(breakdown.map((row) => row.bytes));
  const rows = breakdown.map((row) => cells(ofTenant(row), row.events, row.bytes));
  if (otherEvents > 0n) rows.push(cells('all others', otherEvents, otherBytes));
  return table(
    `The services with most events in ${words}`,
    [
      { title: 'Service', kind: 'text' },
      { title: 'Events', kind: 'number' },
      { title: 'Stored', kind: 'number' },
      { title: 'Share of events', kind: 'extra' },
    ],
    rows,
    ['Total', count(total_events), bytes(total_bytes), ''],
  );

  /** @param {Node | string} name @param {Amount} events @param {Amount} stored @returns {(Node | string)[]} */
  function cells(name, events, stored) {
    const part = Number(events) / (Number(total_events) || 1);
    const shown = el('span', {}, bar('part', { '--to': part }));
    shown.append(el('span', { class: 'share' }, share(events, total_events)));
    return [name, count(events), bytes(stored), shown];
  }
}

/** A service's name; where several tenants are shown, with its tenant's. @param {Breakdown['breakdown'][number]} row */
function ofTenant({ service_id = '', tenant_id }) {
  if (tenant_id === undefined) return named(service_id);
  return el('span', {}, named(service_id), el('span', { class: 'of' }, ' of ', named(tenant_id)));
}

/** @param {Letters} found @param {string} words of the period */
export function letterPanel({ causes, total, without_tenant }, words) {
  const box = el('div', {});
  if (causes.length === 0) box.append(nothing(`None received in ${words}.`));
  else box.append(causeTable(`Dead letters received in ${words}, by cause`, causes, total));
  if (without_tenant && without_tenant.length > 0) {
    const lines = sum(without_tenant.map((cause) => cause.lines));
    box.append(
      el('h3', {}, 'Of no known tenant'),
      causeTable(`Dead letters of no known tenant received in ${words}, by cause`, without_tenant, lines),
    );
  }
  if (box.querySelector('table')) {
    box.append(
      el(
        'p',
        { class: 'note' },
        'The lines themselves: ',
        el('code', {}, 'infrasage dlq list --each --error CODE'),
      ),
    );
  }
  return box;
}

/** @param {string} caption @param {readonly Cause[]} causes @param {Amount} total */
function causeTable(caption, causes, total) {
  return table(
    caption,
    [
      { title: 'Cause', kind: 'text' },
      { title: 'Lines', kind: 'number' },
      { title: 'Last received', kind: 'number' },
    ],
    causes.map(({ error, lines, last_received_at }) => [
      named(error),
      count(lines),
      shortTime(last_received_at).slice(5),
    ]),
    ['Total', count(total), ''],
  );
}

/** @param {string} words */
export const nothing = (words) => el('p', { class: 'nothing' }, words);
