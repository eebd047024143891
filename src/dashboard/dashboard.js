// The page: who is signed in, what is chosen, and what is shown of it.

import { asking, NoAnswer } from './api.js';
import { draw, gridOf, gridTable, stepWords } from './chart.js';
import { byId, el } from './dom.js';
import { bytes, count, printable } from './format.js';
import { letterPanel, nothing, servicePanel, typePanel, typeTotals } from './panels.js';
import { chosen } from './periods.js';
import { limits } from './quota.js';
import { claims, faultOf, forget, keep, kept, pasted, refusal, said } from './session.js';

/** @import { Series } from './api.js' */
/** @import { Measure } from './chart.js' */

const SERVICES = 10;

const alertBox = byId('alert', HTMLDivElement);
const status = byId('status', HTMLParagraphElement);
const figures = byId('figures', HTMLDivElement);
const signIn = byId('sign-in', HTMLElement);
const tokenField = byId('token', HTMLInputElement);
const tenantForm = byId('tenant-form', HTMLFormElement);
const tenantField = byId('tenant', HTMLInputElement);
const chartBox = byId('chart', HTMLDivElement);
const readout = byId('readout', HTMLParagraphElement);
/** What is pointed at by key, for who does not see the chart. */
const told = byId('told', HTMLParagraphElement);
const choice = byId('choice', HTMLFormElement);

/** The token in use; null while nobody is signed in. @type {string | null} */
let token = null;
/** Ends the requests of what was chosen before. */
let loading = new AbortController();
/** What the chart is drawn from. @type {{ series: Series, words: string } | null} */
let shown = null;
let takeAway = () => {};

// What is chosen is kept in the address, so that a reload or a bookmark shows the same. It holds no secret.

function readChoice() {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const name of ['period', 'measure']) {
    const field = choice.elements.namedItem(name);
    const wanted = address.get(name);
    if (
      field instanceof RadioNodeList &&
      [...field].some((radio) => radio instanceof HTMLInputElement && radio.value === wanted)
    ) {
      field.value = wanted ?? '';
    }
  }
  tenantField.value = address.get('tenant') ?? '';
}

function writeChoice() {
  const address = new URLSearchParams({ period: chosenValue('period'), measure: chosenValue('measure') });
  if (tenant() !== undefined) address.set('tenant', tenant() ?? '');
  history.replaceState(null, '', `#${address}`);
}

/** @param {string} name */
const chosenValue = (name) => String(new FormData(choice).get(name));
const measure = () => /** @type {Measure} */ (chosenValue('measure'));
/** The tenant that was named; undefined for that of the token. */
const tenant = () => (tenantForm.hidden || tenantField.value === '' ? undefined : tenantField.value);

/** @param {...string} lines */
const tell = (...lines) => alertBox.replaceChildren(...lines.map((line) => el('p', {}, printable(line))));

/** @param {string} [why] */
function signOut(why) {
  loading.abort();
  forget();
  token = null;
  shown = null;
  takeAway();
  takeAway = () => {};
  // What was one person's is not left for the next, not even out of sight.
  for (const id of [
    'month',
    'types',
    'services',
    'letters',
    'chart-table',
    'readout',
    'told',
    'tenants',
    'role',
    'title',
    'chart-note',
  ]) {
    document.getElementById(id)?.replaceChildren();
  }
  tenantForm.hidden = true;
  tenantField.value = '';
  history.replaceState(null, '', location.pathname);
  document.title = 'infrasage';
  byId('who', HTMLDivElement).hidden = true;
  figures.hidden = true;
  signIn.hidden = false;
  refused(why);
}

/** @param {string} [why] */
function refused(why) {
  tell(...(why ? [why] : []));
  if (why) tokenField.setAttribute('aria-invalid', 'true');
  else tokenField.removeAttribute('aria-invalid');
  tokenField.focus();
}

/** @param {string} given */
async function enter(given) {
  const fault = faultOf(given, new Date());
  if (fault) return signOut(fault);
  try {
    await asking(given, undefined).summary();
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    if (error.status === 401 || error.status === 403)
      return signOut(refusal(given, error.status, new Date()));
    return refused(`Not signed in: ${error.message}.`);
  }
  keep(given);
  await open(given);
  byId('title', HTMLHeadingElement).focus();
}

/** Shows the figures. @param {string} given */
async function open(given) {
  token = given;
  const who = claims(given);
  tokenField.value = '';
  tokenField.removeAttribute('aria-invalid');
  signIn.hidden = true;
  figures.hidden = false;
  byId('who', HTMLDivElement).hidden = false;
  byId('role', HTMLParagraphElement).replaceChildren(
    printable(who?.role ?? ''),
    ...(who?.expires ? [` until ${said(who.expires)}`] : []),
  );
  tenantForm.hidden = who?.role !== 'super-admin';
  if (!tenantForm.hidden) {
    tenantField.placeholder = printable(who?.tenant ?? '');
    void offerTenants(given);
  }
  await load();
}

/** @param {string} given */
async function offerTenants(given) {
  const { breakdown } = await asking(given, undefined)
    .tenants()
    .catch(() => ({ breakdown: [] }));
  if (token !== given) return;
  // A name is chosen by how it looks: one that is not what it looks like must be typed.
  const names = breakdown.flatMap(({ tenant_id = '' }) =>
    printable(tenant_id) === tenant_id ? tenant_id : [],
  );
  byId('tenants', HTMLDataListElement).replaceChildren(...names.map((value) => el('option', { value })));
}

/** Asks for everything that is chosen, and shows what comes. */
async function load() {
  const given = token;
  if (given === null) return;
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  writeChoice();
  const { span, step, words } = chosen(chosenValue('period'), new Date());
  const ask = asking(given, tenant(), signal);
  const name = printable(tenant() ?? claims(given)?.tenant ?? '');
  byId('title', HTMLHeadingElement).replaceChildren('Usage of ', el('bdi', {}, name));
  document.title = `${name}: infrasage`;
  status.textContent = 'Loading…';
  figures.setAttribute('aria-busy', 'true');
  const outcomes = await Promise.allSettled([
    fill('month', ask.summary(), (found) => {
      byId('month-title', HTMLHeadingElement).textContent = `${found.month} against its quota`;
      return limits(found);
    }),
    fill('types', ask.series(span, step), (series) => {
      shown = { series, words };
      drawChart();
      return [typePanel(series, words)];
    }),
    fill('services', ask.services(span, SERVICES), (found) => [servicePanel(found, words)]),
    fill('letters', ask.letters(span), (found) => [letterPanel(found, words)]),
  ]);
  if (signal.aborted) return;
  figures.removeAttribute('aria-busy');
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  const unexpected = failures.find((error) => !(error instanceof NoAnswer));
  if (unexpected) {
    status.textContent = '';
    tell('The page could not show what came. Reload it.');
    throw unexpected;
  }
  if (failures.some(({ status }) => status === 401)) return signOut(refusal(given, 401, new Date()));
  status.textContent = failures.length > 0 ? '' : `As of ${new Date().toISOString().slice(11, 19)} UTC`;
  tell(...new Set(failures.map(({ message }) => `Not everything could be loaded: ${message}.`)));
}

/**
 * Fills a panel with what comes.
 * @template T
 * @param {string} id
 * @param {Promise<T>} answer
 * @param {(answer: T) => Node[]} show
 */
async function fill(id, answer, show) {
  const box = byId(id, HTMLDivElement);
  try {
    const found = await answer;
    box.replaceChildren(...show(found));
  } catch (error) {
    // What was there is of another choice.
    if (error instanceof NoAnswer) {
      box.replaceChildren(nothing('Could not be loaded.'));
      if (id === 'types') {
        shown = null;
        drawChart();
      }
    }
    throw error;
  }
}

function drawChart() {
  takeAway();
  takeAway = () => {};
  const by = measure();
  byId('chart-title', HTMLHeadingElement).textContent =
    by === 'events' ? 'Events over time' : 'Stored bytes over time';
  const note = byId('chart-note', HTMLParagraphElement);
  const tableBox = byId('chart-table', HTMLElement);
  // It scrolls: so it can be reached by key.
  tableBox.tabIndex = 0;
  if (!shown) {
    for (const box of [note, tableBox, readout]) box.replaceChildren();
    chartBox.removeAttribute('tabindex');
    return;
  }
  const { series, words } = shown;
  const grid = gridOf(series, by);
  const totals = typeTotals(series);
  const total = by === 'events' ? `${count(totals.events)} events` : `${bytes(totals.bytes)} stored`;
  const whole = `${total} in ${words}`;
  readout.textContent = whole;
  note.textContent = `${series.step === 'hour' ? 'By hour' : 'By day'}, from ${said(new Date(series.period.start))} to ${said(new Date(series.period.end))}.`;
  tableBox.replaceChildren(gridTable(grid, by));
  chartBox.tabIndex = 0;
  chartBox.setAttribute('role', 'img');
  chartBox.setAttribute(
    'aria-label',
    `Stacked bars by type: ${whole}. Arrow keys tell the figures of each ${series.step}; the same is in the table below.`,
  );
  takeAway = draw(chartBox, grid, by, {
    step: series.step,
    told: (i, byKey) => {
      readout.textContent = i === null ? whole : stepWords(grid, i, by);
      if (byKey) told.textContent = readout.textContent;
    },
  });
}

byId('sign-in-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void enter(pasted(tokenField.value));
});
byId('sign-out', HTMLButtonElement).addEventListener('click', () => signOut());
byId('refresh', HTMLButtonElement).addEventListener('click', () => void load());
tenantForm.addEventListener('submit', (event) => {
  event.preventDefault();
  void load();
});
choice.addEventListener('submit', (event) => event.preventDefault());
choice.addEventListener('change', ({ target }) => {
  if (target instanceof HTMLInputElement && target.name === 'period') return void load();
  writeChoice();
  drawChart();
});

// A canvas has its colours painted in: they change with the light, and paper is light.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawChart);
addEventListener('beforeprint', () => {
  document.documentElement.style.colorScheme = 'light';
  drawChart();
});
addEventListener('afterprint', () => {
  document.documentElement.style.colorScheme = '';
  drawChart();
});

readChoice();
const before = kept();
const fault = before === null ? null : faultOf(before, new Date());
if (before === null) {
  signIn.hidden = false;
  tokenField.focus();
} else if (fault) signOut(fault);
else await open(before);
