import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatBytes, formatCount } from '../src/render/text.ts';
import { NO_BROWSER, openBrowser, openPage, probe } from './helpers/browser.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';

const MONTH = '2026-02';
/** What a careless page would run, turn around, or be torn apart by. */
const HOSTILE = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=alert(1)>\u202Egnp.exe',
  '"><svg onload=alert(1)>',
  '<style></style> $& \u2028',
  'M'.repeat(128),
  'שירות-תשלומים',
];

interface BillingJson {
  total_events: number;
  total_bytes: number;
  by_type: { event_type: string; events: number }[];
}

let box: Sandbox;
let browser: Browser;

beforeAll(async () => {
  box = sandbox({ initialised: true });
  const usual = Array.from({ length: 300 }, (_, i) =>
    event({
      timestamp: new Date(Date.UTC(2026, 1, 1 + (i % 26), i % 24)).toISOString(),
      event_type: ['metric', 'metric', 'metric', 'log', 'log', 'trace'][i % 6],
      service_id: `service-${i % 25}`,
    }),
  );
  const strange = HOSTILE.map((name) =>
    event({ tenant_id: name, service_id: name, timestamp: '2026-02-03T10:00:00Z' }),
  );
  const bad = [event({ value: 'much' }), '{', '<script>alert(1)</script>'];
  await box.run(['ingest'], { stdin: lines(...usual, ...strange, ...bad) });
  const now = new Date(`${MONTH}-01T00:00:00Z`);
  await box.json(['quota', 'set', '400', '--bytes', '1MiB', '--tenant', 'acme-corp'], { now });
  await box.json(['alerts', 'add', '80', '--tenant', 'acme-corp'], { now });
}, 120_000);
afterAll(() => box?.remove());

const report = (...args: string[]) =>
  box.run(['report', ...(args.includes('--month') ? [] : ['--month', MONTH]), ...args]);

describe('the file', () => {
  test('is written whole, and only in the place of an earlier report', async () => {
    const first = await report('--html', 'page.html', '--json');
    expect(first).toMatchObject({ status: 0, stderr: '' });
    const page = readFileSync(join(box.folder, 'page.html'), 'utf8');
    expect(JSON.parse(first.stdout)).toMatchObject({
      file: 'page.html',
      month: MONTH,
      tenant_id: null,
      total_events: 306,
      file_bytes: Buffer.byteLength(page),
    });
    expect(statSync(join(box.folder, 'page.html')).mode & 0o777).toBe(0o644);
    // An earlier one is made anew; anything else is somebody's.
    expect(await report('--html', 'page.html', '--tenant', 'acme-corp')).toMatchObject({ status: 0 });
    expect(readFileSync(join(box.folder, 'page.html'), 'utf8')).not.toBe(page);
    const other = box.file('letter.html', '<!doctype html>\n<p>Dear all');
    const refused = await report('--html', 'letter.html');
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(/letter\.html is there, and is no earlier report; --force replaces it/);
    expect(readFileSync(other, 'utf8')).toContain('Dear all');
    expect(await report('--html', 'letter.html', '--force')).toMatchObject({ status: 0 });
    expect(readFileSync(other, 'utf8')).toContain('<!-- infrasage report -->');
    expect(readdirSync(box.folder).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  test('where the name is a link, what it leads to is replaced', async () => {
    writeFileSync(join(box.folder, 'real.html'), '');
    symlinkSync('real.html', join(box.folder, 'link.html'));
    expect(await report('--html', 'link.html', '--force')).toMatchObject({ status: 0 });
    expect(readFileSync(join(box.folder, 'real.html'), 'utf8')).toContain('<!-- infrasage report -->');
  });

  test('is what goes to standard output for -', async () => {
    const { status, stdout } = await report('--html', '-');
    expect(status).toBe(0);
    expect(stdout.startsWith('<!doctype html>\n')).toBe(true);
    expect(stdout.trimEnd().endsWith('</html>')).toBe(true);
  });

  test('is written to no pipe, and waits for none', async () => {
    execFileSync('mkfifo', [join(box.folder, 'pipe')]);
    const { status, stderr } = await report('--html', 'pipe');
    expect(status).toBe(2);
    expect(stderr).toContain('pipe is not a file');
  });

  test.each([
    [['report', '--html', 'x.html'], 2, /report needs the month/],
    [['report', '--month'], 2, /report needs the file/],
    [['report', '--month', '2026-13', '--html', 'x.html'], 2, /2026-13 is not a month/],
    [['report', '--month', '--html', '.'], 2, /\. is not a file/],
    [
      ['report', '--month', '--html', 'no/such/x.html'],
      3,
      /x\.html cannot be written: there is no such folder/,
    ],
  ])('%j ends with %i', async (args, status, words) => {
    const found = await box.run(args);
    expect(found.status).toBe(status);
    expect(found.stderr).toMatch(words);
  });
});

describe.skipIf(NO_BROWSER)('the page, in Chromium', () => {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());

  async function opened(...args: string[]) {
    await report('--html', 'shown.html', ...args);
    return show();
  }

  /** @param before script that runs in the page before its own */
  async function show(before = '') {
    const watched = await openPage(browser, { viewport: { width: 1100, height: 900 } });
    await watched.page.addInitScript(before);
    await watched.page.goto(pathToFileURL(join(box.folder, 'shown.html')).href);
    return watched;
  }

  test('of all tenants: no script of a name runs, nothing is asked of anybody, every name is there as it is', async () => {
    const { page, requests, faults } = await opened();
    await page.locator('.uplot canvas').first().waitFor();
    expect(faults).toEqual([]);
    expect(await probe(page, 'violations')).toEqual([]);
    expect(requests).toHaveLength(1);
    const tenants = await page.getByRole('region', { name: 'Tenants' }).locator('tbody th').allTextContents();
    expect(tenants).toHaveLength(7);
    expect(new Set(tenants)).toEqual(
      new Set(['acme-corp', ...HOSTILE.map((name) => name.replace(/[\u2028]/g, ' ').replace('\u202E', ''))]),
    );
    expect(await probe(page, 'overflows()')).toEqual([]);
    expect(await probe(page, 'nameless()')).toEqual([]);
    expect(await probe(page, 'faintTexts()')).toEqual([]);
    await page.context().close();
  });

  test('has the figures of the bill, the services and the dead letters', async () => {
    const acme = ['--tenant', 'acme-corp'];
    const bill = await box.json<BillingJson>(['billing', '--month', MONTH, ...acme]);
    const { page, faults } = await opened(...acme);
    expect(faults).toEqual([]);
    expect(await page.title()).toBe('Usage of acme-corp, February 2026');
    const totals = await page.locator('.totals dd').allTextContents();
    expect(totals.slice(0, 2)).toEqual([formatCount(bill.total_events), formatBytes(bill.total_bytes)]);
    const rows = (heading: string) => probe<string[][]>(page, `rows('[aria-label="${heading}"]')`);
    expect((await rows('By type')).slice(1, -1).map(([type, events]) => [type, events])).toEqual(
      bill.by_type.map(({ event_type, events }) => [event_type, formatCount(events)]),
    );
    const services = await rows('Top services');
    expect(services).toHaveLength(1 + 20 + 2);
    expect(services.at(-1)?.[1]).toBe('300');
    const meter = page.getByRole('meter', { name: "Events of the month's quota" });
    expect(await meter.getAttribute('aria-valuetext')).toBe('75 %: 300 of 400');
    expect(await page.getByText('80 %').count()).toBeGreaterThan(0);
    await page.context().close();
  });

  test('has the dead letters of the month they were received in', async () => {
    const { page } = await opened('--month', '--tenant', 'acme-corp');
    const rows = await probe<string[][]>(page, `rows('[aria-label="Dead letters by cause"]')`);
    expect(rows.map(([cause, count]) => [cause, count])).toEqual([
      ['Cause', 'Lines'],
      ['invalid_value', '1'],
      ['Total', '1'],
    ]);
    expect(await page.locator('.totals').textContent()).toContain('1rejected, not counted');
    await page.context().close();
    // Last of this store: what is replayed counts from then on.
    const mended = ['--error', 'invalid_value', '--set', 'value=1'];
    expect(await box.run(['dlq', 'replay', ...mended])).toMatchObject({ status: 0 });
    const { page: later } = await opened('--month', '--tenant', 'acme-corp');
    expect(await later.locator('.totals').textContent()).toContain(
      '1rejected, 1 of them counted later (replayed)',
    );
    await later.context().close();
  });

  test('prints with its charts, none of them cut, in light', async () => {
    await report('--html', 'shown.html');
    // On paper nothing is drawn anew: what was drawn for the window must fit.
    const { page } = await show('window.ResizeObserver = class { observe() {} disconnect() {} };');
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    await page.setViewportSize({ width: 680, height: 900 });
    const charts = await page.locator('.uplot canvas').all();
    expect(charts).toHaveLength(2);
    for (const chart of charts) {
      const box_ = await chart.boundingBox();
      expect(box_?.width).toBeGreaterThan(500);
      expect((box_?.x ?? 0) + (box_?.width ?? 0)).toBeLessThanOrEqual(680);
    }
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toMatch(
      /rgba?\((255, 255, 255|0, 0, 0, 0)/,
    );
    // Cards of a grid come to lie on one another where they break over pages; a tfoot is a total on every page.
    const display = (of: string) =>
      page.evaluate(`getComputedStyle(document.querySelector('${of}')).display`);
    expect(await display('#report')).toBe('block');
    expect(await display('tfoot')).toBe('table-row-group');
    const pdf = await page.pdf({ preferCSSPageSize: true });
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
    await page.context().close();
  });
});
