import { SignJWT } from 'jose';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatBytes, formatCount } from '../src/render/text.ts';
import { NO_BROWSER, openBrowser, openPage, probe, type Watched } from './helpers/browser.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { type Serving, serve } from './helpers/serve.ts';

const SECRET = 'c0ffee'.repeat(11);
const HOUR = 3_600_000;

/** What a careless page would run, turn around, or be torn apart by. */
const HOSTILE_TENANT = '<img src=x onerror=alert(1)>\u202Egnp.exe';
const LONG_TENANT = 'W'.repeat(128);
const HOSTILE_SERVICES = [
  '<script>alert(1)</script>',
  '"><svg onload=alert(1)>',
  '\u202Etxt.exe\u2066',
  'שירות-תשלומים',
  'M'.repeat(256),
  `${'long words '.repeat(23)}x`,
];

interface UsageJson {
  breakdown: { event_type?: string; service_id?: string; events: number; bytes: number }[];
  total_events: number;
  total_bytes: number;
}
interface BillingJson {
  total_events: number;
  total_bytes: number;
  quota_used_percent: number;
  month: string;
}

let box: Sandbox;
let server: Serving;
let browser: Browser;
const expected: Record<string, UsageJson> = {};
let bill: BillingJson;
let letters: string[];

/** Hours before now. Nothing is near the edge of a period, so that no test depends on the minute it runs in. */
const ago = (hours: number) => new Date(Date.now() - hours * HOUR).toISOString();

function events(): string[] {
  const types = ['metric', 'metric', 'metric', 'log', 'log', 'trace', 'profile', 'slo', 'event'];
  const services = Array.from({ length: 13 }, (_, i) => `service-${String.fromCharCode(97 + i)}`);
  const usual = Array.from({ length: 400 }, (_, i) =>
    event({
      event_type: types[i % types.length],
      service_id: services[Math.floor(Math.sqrt(i)) % services.length],
      timestamp: ago(i % 4 === 0 ? 30 + (i % 100) : 2 + (i % 20)),
    }),
  );
  const strange = [HOSTILE_TENANT, LONG_TENANT].flatMap((tenant_id) =>
    HOSTILE_SERVICES.map((service_id) => event({ tenant_id, service_id, timestamp: ago(3) })),
  );
  const bad = [
    ...Array.from({ length: 3 }, () => event({ event_type: 'nothing', timestamp: ago(3) })),
    event({ value: 'much', timestamp: ago(3) }),
    '{"tenant_id":',
  ];
  return [...usual, ...strange, ...bad];
}

async function token(claims: Record<string, unknown> = {}, secret = SECRET): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  return new SignJWT({ tenant_id: 'acme-corp', role: 'viewer', exp, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(Buffer.from(secret));
}

async function signIn(page: Page, given: string): Promise<void> {
  await page.getByLabel('Token').fill(given);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Until everything that was asked for is there. */
async function loaded(page: Page): Promise<void> {
  await page.locator('#figures:not([aria-busy])').waitFor();
  await page.locator('#status').filter({ hasText: 'As of' }).waitFor();
}

async function signedIn(claims: Record<string, unknown> = {}, options: BrowserContextOptions = {}) {
  const watched = await openPage(browser, options);
  await watched.page.goto(server.url);
  await signIn(watched.page, await token(claims));
  await loaded(watched.page);
  return watched;
}

/** Chooses a period or a measure as a person does. */
const choose = async (page: Page, name: string) => {
  await page.locator('#choice label', { hasText: name }).click();
  await loaded(page);
};

/** Nothing ran that should not, nothing was asked of anyone else. */
async function clean({ page, requests, faults }: Watched): Promise<void> {
  expect(faults).toEqual([]);
  expect(await probe(page, 'violations')).toEqual([]);
  expect(requests.length).toBeGreaterThan(0);
  expect(requests.filter((url) => new URL(url).origin !== server.url)).toEqual([]);
  await page.context().close();
}

describe.skipIf(NO_BROWSER)('the dashboard, in Chromium', () => {
  beforeAll(async () => {
    browser = await openBrowser();
    box = sandbox({ initialised: true });
    const { status } = await box.run(['ingest'], { stdin: lines(...events()) });
    expect(status).toBe(0);
    const acme = ['--tenant', 'acme-corp'];
    await box.json(['quota', 'set', '500', '--bytes', '1MiB', ...acme]);
    await box.json(['alerts', 'add', '50', ...acme]);
    await box.json(['alerts', 'add', '90', ...acme]);
    server = await serve(box, { INFRASAGE_JWT_SECRET: SECRET });
    // The commands answer through the server.
    for (const [name, args] of Object.entries({
      'types 24h': ['--since', '24h'],
      'types 7d': ['--since', '7d'],
      'services 24h': ['--since', '24h', '--by', 'service_id'],
      'services 7d': ['--since', '7d', '--by', 'service_id'],
    })) {
      expected[name] = await box.json<UsageJson>(['usage', ...args, ...acme]);
    }
    bill = await box.json<BillingJson>(['billing', '--month', ...acme]);
    const found = await box.json<{ letters: { error: string }[] }>(['dlq', 'list', '--each', ...acme]);
    letters = found.letters.map(({ error }) => error);
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await box?.remove();
  });

  describe('signing in', () => {
    test('what is no valid token is said, and what to do', async () => {
      const watched = await openPage(browser);
      const { page } = watched;
      await page.goto(server.url);
      expect(await probe(page, 'focus()')).toMatchObject({ id: 'token', outlined: true });
      const alert = page.getByRole('alert');
      const refusals: [string, RegExp][] = [
        ['nonsense', /not a token.*infrasage token create/],
        ['isage_abcdef', /an API key/],
        [await token({ exp: 1_700_000_000 }), /expired, at 2023-11-14 22:13 UTC/],
        [await token({}, 'another secret of more than 32 bytes'), /does not accept this token/],
        [await token({ role: 'system' }), /The role of this token, system, may not read usage/],
      ];
      for (const [given, said] of refusals) {
        await signIn(page, given);
        await alert.filter({ hasText: said }).waitFor();
        expect(await probe(page, 'focus()')).toMatchObject({ id: 'token' });
        expect(await page.getByLabel('Token').getAttribute('aria-invalid')).toBe('true');
        expect(await probe(page, 'kept()')).toEqual({ session: {}, local: {}, cookie: '' });
      }
      // The browser itself says on the console that a request was refused.
      const { faults } = watched;
      expect(faults.splice(0)).toEqual([expect.stringContaining('401'), expect.stringContaining('403')]);
      await clean(watched);
    });

    test('the token is kept for the tab alone, and signing out leaves nothing', async () => {
      const watched = await openPage(browser);
      const { page } = watched;
      const given = await token();
      await page.goto(server.url);
      await signIn(page, `  Authorization: Bearer ${given}\n`);
      await loaded(page);
      expect(await page.getByRole('alert').textContent()).toBe('');
      expect(await probe(page, 'kept()')).toEqual({
        session: { 'infrasage.token': given },
        local: {},
        cookie: '',
      });
      await choose(page, '7 days');
      await page.reload();
      await loaded(page);
      expect(await page.getByRole('radio', { name: '7 days' }).isChecked()).toBe(true);
      expect(page.url()).not.toContain(given.slice(0, 20));
      expect(watched.requests.join()).not.toContain(given.slice(0, 20));

      await page.getByRole('button', { name: 'Sign out' }).click();
      expect(await page.getByRole('heading', { name: 'Sign in' }).isVisible()).toBe(true);
      expect(await probe(page, 'kept()')).toEqual({ session: {}, local: {}, cookie: '' });
      expect(await page.content()).not.toMatch(/acme-corp|service-a/);
      expect(page.url()).toBe(`${server.url}/`);
      await clean(watched);
    });

    test('a token that is refused later leads back, with the reason', async () => {
      const watched = await signedIn();
      const { page, faults } = watched;
      await page.route('**/api/**', (route) => route.fulfill({ status: 401, json: { detail: 'no' } }));
      await page.getByRole('button', { name: 'Refresh' }).click();
      await page.getByRole('alert').filter({ hasText: 'does not accept this token' }).waitFor();
      expect(await probe(page, 'kept()')).toMatchObject({ session: {} });
      expect(await page.content()).not.toContain('acme-corp');
      expect(faults.splice(0).every((text) => text.includes('401'))).toBe(true);
      await clean(watched);
    });
  });

  describe('figures', () => {
    test.each([
      ['24 hours', '24h'],
      ['7 days', '7d'],
    ])('of the last %s are those of the commands', async (label, since) => {
      const watched = await signedIn();
      const { page } = watched;
      await choose(page, label);
      const types = expected[`types ${since}`];
      const services = expected[`services ${since}`];
      if (!types || !services) throw new Error('no figures');

      const typeRows = (await probe<string[][]>(page, `rows('#types')`)).slice(1);
      const written = types.breakdown.map(({ event_type, events, bytes }) => [
        ...[event_type, formatCount(events), formatBytes(bytes)],
        `${((events / types.total_events) * 100).toFixed(1)} %`,
      ]);
      expect(typeRows.slice(0, -1).sort()).toEqual(written.sort());
      const total = [formatCount(types.total_events), formatBytes(types.total_bytes)];
      expect(typeRows.at(-1)).toEqual(['Total', ...total, '']);
      expect(await page.locator('#readout').textContent()).toContain(`${total[0]} events in`);

      const serviceRows = (await probe<string[][]>(page, `rows('#services')`)).slice(1);
      const top = services.breakdown.slice(0, 10);
      expect(serviceRows.slice(0, 10).map((row) => row.slice(0, 3))).toEqual(
        top.map(({ service_id, events, bytes }) => [service_id, formatCount(events), formatBytes(bytes)]),
      );
      const others = services.total_events - top.reduce((sum, { events }) => sum + events, 0);
      expect(others).toBeGreaterThan(0);
      expect(serviceRows.slice(10).map(([name, events]) => [name, events])).toEqual([
        ['all others', formatCount(others)],
        ['Total', total[0]],
      ]);
      await clean(watched);
    });

    test('of the month are those of the bill, with thresholds and projection', async () => {
      const watched = await signedIn();
      const { page } = watched;
      const { month, total_events, total_bytes, quota_used_percent } = bill;
      expect(await page.locator('#month-title').textContent()).toBe(`${month} against its quota`);
      const meter = page.getByRole('meter', { name: 'Events' });
      expect(await meter.getAttribute('aria-valuenow')).toBe(String(total_events));
      expect(await meter.getAttribute('aria-valuemax')).toBe('500');
      const text = (await page.locator('#month').textContent()) ?? '';
      expect(text).toContain(`${formatCount(total_events)} of 500${quota_used_percent} %`);
      expect(text).toContain(`${formatBytes(total_bytes)} of 1.00 MiB`);
      const reached = (percent: number) =>
        `${percent} %${total_events * 100 >= percent * 500 ? ' (reached)' : ''}`;
      expect(text).toContain(`Alerts at ${reached(50)}, ${reached(90)}Projected `);
      // Two thresholds and the quota itself, on both.
      expect(await page.locator('.meter .mark').count()).toBe(6);

      await choose(page, 'This month');
      const [, ...rows] = await probe<string[][]>(page, `rows('#types')`);
      expect(rows.at(-1)?.slice(0, 3)).toEqual([
        'Total',
        formatCount(total_events),
        formatBytes(total_bytes),
      ]);
      await clean(watched);
    });

    test('of dead letters are those of the list; of no known tenant for a super-admin alone', async () => {
      const causes = [...new Set(letters)].map((error) => [
        error,
        String(letters.filter((e) => e === error).length),
      ]);
      const viewer = await signedIn();
      const shown = async ({ page }: Watched) =>
        (await probe<string[][]>(page, `rows('#letters')`)).map(([cause, count]) => [cause, count]);
      const own = [['Cause', 'Lines'], ...causes, ['Total', String(letters.length)]];
      expect(letters).toHaveLength(4);
      expect(await shown(viewer)).toEqual(own);
      const admin = await signedIn({ role: 'super-admin' });
      expect(await shown(admin)).toEqual([
        ...own,
        ...[
          ['Cause', 'Lines'],
          ['invalid_json', '1'],
          ['Total', '1'],
        ],
      ]);
      await clean(viewer);
      await clean(admin);
    });

    test('of the chart are in a table too, hour by hour and day by day', async () => {
      const watched = await signedIn();
      const { page } = watched;
      const sums = async () => {
        const [head = [], ...rows] = await probe<string[][]>(page, `rows('#chart-table')`);
        const total = rows.reduce((sum, row) => sum + Number(row.at(-1)?.replaceAll(',', '')), 0);
        return { head, steps: rows.length, total };
      };
      const day = expected['types 24h']?.total_events;
      expect(await sums()).toEqual({
        head: ['Time', 'metric', 'log', 'trace', 'event', 'profile', 'slo', 'Total'],
        steps: 24,
        total: day,
      });
      await choose(page, '30 days');
      const month = await sums();
      expect([30, 31]).toContain(month.steps);
      expect(month.total).toBe(expected['types 7d']?.total_events);
      await choose(page, 'Stored bytes');
      expect(await page.locator('#chart-title').textContent()).toBe('Stored bytes over time');
      expect(await page.locator('#readout').textContent()).toContain(
        formatBytes(expected['types 7d']?.total_bytes ?? 0),
      );
      await clean(watched);
    });
  });

  test('a super-admin chooses a tenant; others are not offered any', async () => {
    const watched = await signedIn({ role: 'super-admin' });
    const { page } = watched;
    const offered = page.locator('#tenants option');
    await offered.nth(1).waitFor({ state: 'attached' });
    // Not one that looks like another name than it is.
    expect(await offered.evaluateAll((all) => all.map((one) => one.getAttribute('value')).sort())).toEqual([
      LONG_TENANT,
      'acme-corp',
    ]);
    await page.getByLabel('Tenant').fill(LONG_TENANT);
    await page.getByLabel('Tenant').press('Enter');
    await page.getByRole('heading', { name: LONG_TENANT }).waitFor();
    await loaded(page);
    expect((await probe<string[][]>(page, `rows('#types')`)).at(-1)?.[1]).toBe('6');
    expect(await page.locator('#month').textContent()).toContain('No quota is set');
    await page.reload();
    await loaded(page);
    expect(await page.getByLabel('Tenant').inputValue()).toBe(LONG_TENANT);
    await clean(watched);

    const viewer = await signedIn();
    expect(await viewer.page.getByLabel('Tenant').count()).toBe(1);
    expect(await viewer.page.getByLabel('Tenant').isVisible()).toBe(false);
    await clean(viewer);
  });

  test('everything is done with the keyboard, and the focus shows', async () => {
    const watched = await openPage(browser);
    const { page } = watched;
    const at = () => probe<{ id: string; text: string; outlined: boolean }>(page, 'focus()');
    const tab = async () => {
      await page.keyboard.press('Tab');
      const now = await at();
      expect(now.outlined, JSON.stringify(now)).toBe(true);
      return now;
    };
    await page.goto(server.url);
    await page.keyboard.insertText(await token());
    await page.keyboard.press('Enter');
    await loaded(page);
    expect(await at()).toMatchObject({ id: 'title' });
    expect(await tab()).toMatchObject({ text: '24 hours' });
    await page.keyboard.press('ArrowRight');
    expect(await at()).toMatchObject({ text: '7 days' });
    await loaded(page);
    const whole = await page.locator('#readout').textContent();
    expect(whole).toContain('in the last 7 days');
    expect(await tab()).toMatchObject({ text: 'Events' });
    expect(await tab()).toMatchObject({ id: 'refresh' });
    expect(await tab()).toMatchObject({ id: 'chart' });
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    const told = await page.locator('#readout').textContent();
    expect(told).toMatch(/^\d{4}-\d\d-\d\d \d\d:00: [\d,]+/);
    expect(await page.locator('#told[role=status]').textContent()).toBe(told);
    await page.keyboard.press('Escape');
    expect(await page.locator('#readout').textContent()).toBe(whole);
    expect(await tab()).toMatchObject({ text: 'The chart as a table' });
    await page.keyboard.press('Enter');
    expect(await page.getByRole('table', { name: 'Events over time' }).isVisible()).toBe(true);
    expect(await tab()).toMatchObject({ id: 'chart-table' });
    for (let i = 0; i < 6; i++) await page.keyboard.press('Shift+Tab');
    expect(await at()).toMatchObject({ id: 'sign-out' });
    await page.keyboard.press('Enter');
    expect(await at()).toMatchObject({ id: 'token', outlined: true });
    expect(await probe(page, 'nameless()')).toEqual([]);
    await clean(watched);
  });

  test.each(['light', 'dark'] as const)('contrasts pass WCAG AA in the %s', async (colorScheme) => {
    const watched = await openPage(browser, { colorScheme });
    const { page } = watched;
    await page.goto(server.url);
    await signIn(page, 'nonsense');
    await page.getByRole('alert').filter({ hasText: 'not a token' }).waitFor();
    const faint = async () => [
      ...(await probe<string[]>(page, 'faintTexts()')),
      ...(await probe<string[]>(page, 'faintGraphics()')),
    ];
    expect(await faint()).toEqual([]);
    await signIn(page, await token({ role: 'super-admin' }));
    await loaded(page);
    await page.getByText('The chart as a table').click();
    expect(await faint()).toEqual([]);
    expect(await probe(page, 'nameless()')).toEqual([]);
    const [red = 0] =
      (await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')).match(/\d+/g) ?? [];
    expect(Number(red) < 128).toBe(colorScheme === 'dark');
    await clean(watched);
  });

  test.each([320, 1280])('hostile names stay text and inside their boxes, %i px wide', async (width) => {
    for (const tenant of [HOSTILE_TENANT, LONG_TENANT]) {
      const watched = await signedIn(
        { role: 'super-admin', tenant_id: 'acme-corp' },
        { viewport: { width, height: 700 } },
      );
      const { page } = watched;
      await page.getByLabel('Tenant').fill(tenant);
      await page.getByRole('button', { name: 'Show' }).click();
      await page.getByRole('heading', { name: tenant.replace('\u202E', '') }).waitFor();
      await loaded(page);
      const names = (await probe<string[][]>(page, `rows('#services')`)).map(([name]) => name);
      for (const service of HOSTILE_SERVICES) {
        expect(names).toContain(service.replaceAll(/[\u202E\u2066]/g, ''));
      }
      expect(await page.locator('main').textContent()).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
      expect(await page.locator('main img, main svg, main script').count()).toBe(0);
      await page.getByText('The chart as a table').click();
      expect(await probe(page, 'overflows()')).toEqual([]);
      await clean(watched);
    }
  });

  test.each([320, 1280])('figures and errors stay inside their boxes, %i px wide', async (width) => {
    const watched = await openPage(browser, { viewport: { width, height: 700 } });
    const { page } = watched;
    await page.goto(server.url);
    await signIn(page, 'nonsense');
    await page.getByRole('alert').filter({ hasText: 'not a token' }).waitFor();
    expect(await probe(page, 'overflows()')).toEqual([]);
    await signIn(page, await token({ role: 'super-admin' }));
    await loaded(page);
    await choose(page, '7 days');
    expect(await probe(page, 'overflows()')).toEqual([]);
    // A window made narrower takes the chart along.
    await page.setViewportSize({ width: Math.max(width - 40, 320), height: 700 });
    await page.waitForFunction(
      'document.querySelector(".uplot").clientWidth <= document.querySelector("#chart").clientWidth',
    );
    expect(await probe(page, 'overflows()')).toEqual([]);
    await clean(watched);
  });

  test('what fails is said, beside what did not; the next try shows it', async () => {
    const watched = await signedIn();
    const { page, faults } = watched;
    await page.route('**/usage/breakdown?*', (route) =>
      route.fulfill({ status: 503, json: { detail: 'the server cannot answer now', request_id: 'r-1' } }),
    );
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.getByRole('alert').filter({ hasText: 'the server cannot answer now (request r-1)' }).waitFor();
    expect(await page.locator('#services').textContent()).toBe('Could not be loaded.');
    expect((await probe<string[][]>(page, `rows('#types')`)).length).toBeGreaterThan(1);
    await page.unroute('**/usage/breakdown?*');
    await page.route('**/api/**', (route) => route.abort());
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.getByRole('alert').filter({ hasText: 'the server cannot be reached' }).waitFor();
    await page.unroute('**/api/**');
    await page.getByRole('button', { name: 'Refresh' }).click();
    await loaded(page);
    expect(await page.getByRole('alert').textContent()).toBe('');
    expect((await probe<string[][]>(page, `rows('#services')`)).length).toBeGreaterThan(1);
    expect(faults.splice(0).every((text) => /503|ERR_FAILED/.test(text))).toBe(true);
    await clean(watched);
  });

  test('no script comes from text, and no form is sent', async () => {
    const watched = await signedIn();
    const { page, faults } = watched;
    await expect(page.evaluate('document.body.innerHTML = "<img src=x onerror=alert(1)>"')).rejects.toThrow(
      /TrustedHTML/,
    );
    const ran = await page.evaluate<boolean>(`(() => {
      const script = document.createElement('script');
      script.append('window.ran = true');
      document.head.append(script);
      const form = document.createElement('form');
      form.action = '/sent';
      document.body.append(form);
      form.submit();
      return window.ran === true;
    })()`);
    expect(ran).toBe(false);
    expect(watched.requests.filter((url) => url.includes('/sent'))).toEqual([]);
    expect(faults.length).toBeGreaterThan(0);
    await page.context().close();
  });

  test('prints in light colours, without what cannot be clicked on paper', async () => {
    const watched = await signedIn({}, { colorScheme: 'dark' });
    const { page } = watched;
    await page.evaluate('dispatchEvent(new Event("beforeprint"))');
    await page.emulateMedia({ media: 'print' });
    expect(await page.evaluate('getComputedStyle(document.querySelector(".panel")).backgroundColor')).toBe(
      'rgb(255, 255, 255)',
    );
    expect(await page.getByRole('button').count()).toBe(0);
    expect(await page.locator('canvas').isVisible()).toBe(true);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
    await clean(watched);
  });
});
