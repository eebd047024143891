// The page of a month's report: its data is in it, and everything is drawn from that.

import './sharp.js';
import { draw, gridOf, gridTable } from './chart.js';
import { bar, byId, el, table } from './dom.js';
import { bytes, count, printable, share, shortTime, usedPercent } from './format.js';
import { parse } from './json.js';
import { colourOf, letterPanel, servicePanel, typePanel, typesOf } from './panels.js';
import { limits } from './quota.js';

/** @import { Breakdown, Letters, Series, Summary } from './api.js' */
/** @import { Measure } from './chart.js' */
/** @import { Amount } from './format.js' */

/**
 * @typedef {Omit<Summary, 'tenant_id'> & { tenant_id: string | null, by_tenant?: Summary[] }} Bill
 * @typedef {object} Data
 * @property {string} made_at
 * @property {boolean} open whether the month goes on
 * @property {Bill} bill
 * @property {number} tenants_in_all
 * @property {Series} series
 * @property {Breakdown} services
 * @property {Letters & { replayed: Amount }} letters
 */

/** Quotas that are drawn; the fullest. */
const QUOTAS = 12;

/** @type {Data} */
const data = parse(byId('data', HTMLScriptElement).text);
const { bill, series, open } = data;
const month = monthName(bill.month);
/** The tenants; of a report of one, that one. @type {Summary[]} */
const tenants = bill.by_tenant ?? (bill.tenant_id === null ? [] : [{ ...bill, tenant_id: bill.tenant_id }]);
const [only] = tenants.length === 1 ? tenants : [];
const name = bill.tenant_id ?? only?.tenant_id;

const title = byId('title', HTMLHeadingElement);
title.replaceChildren(
  'Usage of ',
  name === undefined ? 'all tenants' : el('bdi', {}, printable(name)),
  `, ${month}`,
);
document.title = title.textContent ?? '';
byId('made', HTMLParagraphElement).replaceChildren(
  `${open ? 'The month so far, as of' : 'Made'} ${shortTime(data.made_at)} UTC`,
);

const boxes = { events: el('div', { class: 'chart' }), bytes: el('div', { class: 'chart' }) };
const page = byId('report', HTMLDivElement);
page.append(
  totals(),
  panel(open ? 'The month against its quota' : 'The month against its quota, at its end', quotas()),
  panel('Events over time', legend(), boxes.events, details('events')),
  panel('Stored bytes over time', legend(), boxes.bytes, details('bytes')),
  panel('By type', typePanel(series, month)),
  panel('Top services', servicePanel(data.services, month), ...servicesNote()),
  ...(bill.by_tenant && tenants.length > 1 ? [long('Tenants', tenantTable())] : []),
  panel('Dead letters by cause', letterPanel(data.letters, month)),
  panel('How the figures are made', definitions()),
);
for (const measure of /** @type {const} */ (['events', 'bytes'])) {
  const box = boxes[measure];
  const grid = gridOf(series, measure);
  if (series.points.length === 0) box.append(el('p', { class: 'nothing' }, `No events in ${month}.`));
  else draw(box, grid, measure, { step: series.step, told: () => {} });
}

/** @param {string} heading @param {...Node} children */
function panel(heading, ...children) {
  return el('section', { class: 'panel', 'aria-label': heading }, el('h2', {}, heading), ...children);
}

/** One that may go on over pages. @param {string} heading @param {...Node} children */
function long(heading, ...children) {
  const made = panel(heading, ...children);
  made.classList.add('long');
  return made;
}

function totals() {
  /** @param {string} term @param {string} value @param {string} [note] */
  const figure = (term, value, note) =>
    el(
      'div',
      {},
      el('dt', {}, term),
      el('dd', {}, value, ...(note ? [el('p', { class: 'note' }, note)] : [])),
    );
  const { total_events, total_bytes, projected_events, projected_bytes } = bill;
  return el(
    'dl',
    { class: 'totals' },
    figure('Events', count(total_events), open ? `${count(projected_events)} by the end at this pace` : ''),
    figure(
      'Stored bytes',
      bytes(total_bytes),
      open ? `${bytes(projected_bytes)} by the end at this pace` : '',
    ),
    ...(tenants.length > 1 ? [figure('Tenants', count(data.tenants_in_all))] : []),
    figure('Dead letters', count(rejected()), lettersNote()),
  );
}

/** @returns {Amount} */
function rejected() {
  const { total, without_tenant = [] } = data.letters;
  return without_tenant.reduce((sum, { lines }) => sum + BigInt(lines), BigInt(total));
}

function lettersNote() {
  const replayed = BigInt(data.letters.replayed);
  return replayed === 0n
    ? 'rejected, not counted'
    : `rejected, ${count(replayed)} of them counted later (replayed)`;
}

function quotas() {
  const box = el('div', { class: 'limits' });
  if (only) {
    box.append(...limits(only));
    return box;
  }
  const full = tenants
    .filter(({ quota_events, quota_bytes }) => quota_events !== null || quota_bytes !== null)
    .map((summary) => ({ summary, part: fullness(summary) }))
    .sort((a, b) => b.part - a.part);
  if (full.length === 0) return el('p', { class: 'nothing' }, 'No quota is set.');
  for (const { summary } of full.slice(0, QUOTAS)) {
    const found = limits(summary).filter(
      (_, i) => (i === 0 ? summary.quota_events : summary.quota_bytes) !== null,
    );
    for (const limit of found)
      limit.querySelector('h3')?.prepend(el('bdi', { class: 'name' }, printable(summary.tenant_id)), ': ');
    box.append(...found);
  }
  const rest = full.length - QUOTAS;
  if (rest > 0)
    box.append(
      el(
        'p',
        { class: 'note' },
        `${count(rest)} more tenants with a quota are below, in the table of tenants.`,
      ),
    );
  return box;
}

/** How much of its fuller quota a tenant has used. @param {Summary} summary */
function fullness({ total_events, quota_events, total_bytes, quota_bytes }) {
  /** @param {Amount} used @param {Amount | null} quota */
  const part = (used, quota) => (quota === null ? 0 : Number(used) / Number(quota));
  return Math.max(part(total_events, quota_events), part(total_bytes, quota_bytes));
}

function legend() {
  const entries = typesOf(series).map((type) => {
    const swatch = el('span', { class: 'swatch' });
    swatch.style.setProperty('--colour', `var(${colourOf(type)})`);
    return el('li', {}, swatch, printable(type));
  });
  return el('ul', { class: 'legend' }, ...entries);
}

/** @param {Measure} measure */
function details(measure) {
  return el(
    'details',
    {},
    el('summary', {}, 'The chart as a table'),
    el('div', { class: 'scroll' }, gridTable(gridOf(series, measure), measure)),
  );
}

/** Services are counted from the raw events, which may have a term. */
function servicesNote() {
  const counted = BigInt(data.services.total_events);
  if (counted === BigInt(bill.total_events)) return [];
  return [
    el(
      'p',
      { class: 'note' },
      `Of ${count(bill.total_events)} events, ${count(counted)} are still there one by one; only these can be told by service.`,
    ),
  ];
}

function tenantTable() {
  const rows = tenants.map((tenant) => {
    const part = bar('part', { '--to': Number(tenant.total_events) / (Number(bill.total_events) || 1) });
    const shown = el(
      'span',
      {},
      part,
      el('span', { class: 'share' }, share(tenant.total_events, bill.total_events)),
    );
    return [
      el('bdi', { class: 'name' }, printable(tenant.tenant_id)),
      count(tenant.total_events),
      bytes(tenant.total_bytes),
      tenant.quota_events === null ? '-' : usedPercent(tenant.total_events, tenant.quota_events),
      shown,
    ];
  });
  const rest = data.tenants_in_all - tenants.length;
  const made = table(
    `Tenants in ${month}`,
    [
      { title: 'Tenant', kind: 'text' },
      { title: 'Events', kind: 'number' },
      { title: 'Stored', kind: 'number' },
      { title: 'Of its quota', kind: 'number' },
      { title: 'Share of events', kind: 'extra' },
    ],
    rows,
    ['Total', count(bill.total_events), bytes(bill.total_bytes), '', ''],
  );
  return rest > 0
    ? el('div', {}, made, el('p', { class: 'note' }, `${count(rest)} more tenants are in the totals.`))
    : made;
}

function definitions() {
  const { start, end } = series.period;
  /** @type {[string, string][]} */
  const all = [
    [
      'Period',
      `${shortTime(start)} to ${shortTime(end)} UTC, the end not included. An event belongs to the hour of its own timestamp.`,
    ],
    [
      'Events',
      'Accepted events, each counted once. Rejected lines are dead letters and not counted; one that is replayed counts from then on, as an event of the hour of its timestamp.',
    ],
    [
      'Stored bytes',
      'Compressed bytes as stored, fixed when an event was stored: no later change of the storage changes a bill. Not the bytes that were sent.',
    ],
    ['Projection', 'What the month comes to if its remaining time goes on at the pace of its time so far.'],
    [
      'Quotas and alerts',
      open ? 'Those in force when this report was made.' : 'Those in force at the end of the month.',
    ],
    [
      'Dead letters',
      'Lines that were received in this month and rejected, those that were replayed since among them.',
    ],
  ];
  return el(
    'dl',
    { class: 'definitions' },
    ...all.map(([term, words]) => el('div', {}, el('dt', {}, term), el('dd', {}, words))),
  );
}

/** November 2026. @param {string} text 2026-11 */
function monthName(text) {
  return new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(
    new Date(`${text}-01T00:00:00Z`),
  );
}
