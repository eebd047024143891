import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SignJWT } from 'jose';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_BROWSER, openBrowser, openPage, probe, type Watched } from './helpers/browser.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { activeCharacters } from './helpers/formats.ts';
import { BYTES, MARKUP } from './helpers/hostile.ts';
import { pdfPages } from './helpers/pdf.ts';
import { type Serving, serve } from './helpers/serve.ts';

const SECRET = 'c0ffee'.repeat(11);
/** Every byte there is, what acts on a terminal, and what is no UTF-8. */
const ALL = Buffer.concat([BYTES, Buffer.from([10, 0xed, 0xa0, 0x80])]);
const SHORT = [ALL, ...MARKUP.map((text) => Buffer.from(text)), Buffer.from('M'.repeat(128))];
/** A word without end and then words, as long as a line that is too long is kept. */
const longName = (length: number) =>
  `${'W'.repeat(length / 2)} ${'long words '.repeat(length / 20)}`.slice(0, length);
const LONG = longName(64 * 1024);
const LONG_IN_PDF = longName(4 * 1024);
/** A month that is over, for the PDF: a character of a long word takes it a tenth of a millisecond. */
const PDF_MONTH = '2024-03';

/** Each name as that of everything that has one: other writers may have stored what the contract refuses. */
function stored(names: readonly Buffer[], at: string): string[] {
  const each = `(SELECT unhex(arrayJoin(['${names.map((name) => name.toString('hex')).join("', '")}'])) AS x)`;
  return [
    `INSERT INTO infrasage.infrasage_raw_firehose
      (tenant_id, timestamp, event_type, service_id, metric_name, body, trace_id, attributes, extra, batch_id)
    SELECT arrayJoin([x, 'acme']), ${at}, x, x, x, x, x, map(x, x), x, x FROM ${each}`,
    `INSERT INTO infrasage.infrasage_dlq (received_at, tenant_id, error, message, raw, source, line, batch_id)
    SELECT ${at}, arrayJoin([x, 'acme', '']), x, x, x, x, 1, x FROM ${each}`,
  ];
}

let box: Sandbox;
beforeAll(async () => {
  box = sandbox({ initialised: true });
  for (const statement of [
    ...stored([...SHORT, Buffer.from(LONG)], 'now64(3) - INTERVAL 1 MINUTE'),
    ...stored([...SHORT, Buffer.from(LONG_IN_PDF)], `'${PDF_MONTH}-05 10:00:00'`),
  ])
    await box.sql(statement);
  await box.json(['quota', 'set', '5'], { now: new Date(`${PDF_MONTH}-01T00:00:00Z`) });
}, 120_000);
afterAll(() => box.remove());

async function written(name: string, ...args: string[]): Promise<string> {
  const { status, stderr } = await box.run([...args, name]);
  expect(status, stderr).toBe(0);
  return join(box.folder, name);
}

it('a PDF has every name to its end, within its paper, and nothing that acts', async () => {
  const file = await written('bill.pdf', 'billing', '--month', PDF_MONTH, '--format', 'pdf', '--output');
  const pages = pdfPages(readFileSync(file));
  const texts = pages.flat(2);
  expect(activeCharacters(texts.join(''))).toEqual([]);
  const whole = texts.join('').replaceAll(' ', '');
  // As the type of its own tenant and of another; the heading may be over several lines, with facts beside them.
  const times = (part: string) => whole.split(part.replaceAll(' ', '')).length - 1;
  for (const text of MARKUP) expect(times(text), text).toBeGreaterThanOrEqual(2);
  expect(times('W')).toBe(3 * (LONG_IN_PDF.split('W').length - 1) + times('VWXYZ'));
  expect(times('words')).toBe(3 * (LONG_IN_PDF.split('words').length - 1));
});

describe.skipIf(NO_BROWSER)('in Chromium', () => {
  let browser: Browser;
  let server: Serving;
  beforeAll(async () => {
    browser = await openBrowser();
    server = await serve(box, { INFRASAGE_JWT_SECRET: SECRET });
  });
  afterAll(async () => {
    await browser?.close();
    server?.child.kill();
    await server?.done;
  });

  /** Nothing ran, nothing is shown that acts, and nothing reaches out of its box, on a phone and on a screen. */
  async function expectHarmless({ page, faults }: Watched): Promise<void> {
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await chartsFit(page);
      expect({ width, overflows: await probe(page, 'overflows()') }).toEqual({ width, overflows: [] });
    }
    const texts = await probe<string[]>(page, 'texts()');
    expect(texts.filter((text) => text.includes(LONG)).length).toBeGreaterThan(0);
    for (const text of MARKUP) expect(texts).toContain(text);
    expect(texts.filter((text) => activeCharacters(text).length > 0)).toEqual([]);
    expect(await page.evaluate('typeof ran')).toBe('undefined');
    expect(await probe(page, 'violations')).toEqual([]);
    expect(faults).toEqual([]);
    await page.context().close();
  }

  it.each([
    ['bill', ['billing', '--month', '--format', 'html', '--output']],
    ['report', ['report', '--month', '--html']],
  ])('the page of a %s', async (name, args) => {
    const file = await written(`${name}.html`, ...args);
    const watched = await openPage(browser);
    await watched.page.goto(pathToFileURL(file).href);
    await expectHarmless(watched);
    expect(watched.requests).toHaveLength(1);
  });

  it('the dashboard, and what the server says', async () => {
    const watched = await openPage(browser);
    const { page, faults, requests } = watched;
    await page.goto(server.url);
    const detail = `${ALL}${MARKUP.join('')}${LONG}`;
    await page.route('**/dlq/summary?*', (route) => route.fulfill({ status: 503, json: { detail } }), {
      times: 1,
    });
    await signIn(page);
    await page.getByRole('alert').filter({ hasText: 'Not everything could be loaded' }).waitFor();
    expect(activeCharacters((await page.getByRole('alert').textContent()) ?? '')).toEqual([]);
    expect(await probe(page, 'overflows()')).toEqual([]);
    expect(faults.splice(0)).toEqual([expect.stringContaining('503')]);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.locator('#status').filter({ hasText: 'As of' }).waitFor();
    await page.locator('#tenants option').first().waitFor({ state: 'attached' });
    await page.getByText('The chart as a table').click();
    await page.locator('#chart').press('End');
    await expectHarmless(watched);
    expect(requests.filter((url) => new URL(url).origin !== server.url)).toEqual([]);
  });

  async function signIn(page: Page): Promise<void> {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const token = await new SignJWT({ tenant_id: 'acme', role: 'super-admin', exp })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(SECRET));
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
});

/** A window made narrower takes the charts along. */
async function chartsFit(page: Page): Promise<void> {
  await page.waitForFunction(
    '[...document.querySelectorAll(".chart")].every((box) => (box.querySelector(".uplot")?.clientWidth ?? 0) <= box.clientWidth)',
  );
}
