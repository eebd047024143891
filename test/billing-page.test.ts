import { createHash } from 'node:crypto';
import { linkSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Font, openSync } from 'fontkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setQuota } from '../src/alerts/quotas.ts';
import { bill } from '../src/billing/bill.ts';
import { closeMonth } from '../src/billing/close.ts';
import { billSheets } from '../src/commands/billing-sheet.ts';
import { parseMonth } from '../src/period.ts';
import { applyPlan, assignPlan } from '../src/plans/catalog.ts';
import { parsePlan } from '../src/plans/plan.ts';
import { formatCount } from '../src/render/text.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { yamlOf } from './helpers/invoice-oracle.ts';
import { pdfPages } from './helpers/pdf.ts';
import { type ReadSheet, readSheets, tagsOf } from './helpers/sheets.ts';

const NOW = new Date('2024-07-10T12:00:00Z');
/** Names as bad as the event contract lets them be. */
const HOSTILE = `<script>alert(1)</script><img src=//x.example>&"'`;
const REVERSED = 'safe\u202egpj.exe';
const LONG = `${'w'.repeat(100)}-and-more`;
const HEBREW = 'שלום';
const BAD = [HOSTILE, REVERSED, LONG, HEBREW];

const STANDARD = yamlOf({
  ...{ name: 'standard', currency: 'EUR', digits: 2, base_fee: '10.00', minimum: '12.00' },
  charges: [
    {
      ...{ id: 'all', dimension: 'events', model: 'graduated', per: 1n },
      tiers: [{ up_to: 2n, price: '0.255' }, { price: '0.1' }],
    },
    { id: 'sent', dimension: 'bytes_received', model: 'package', price: '0.07', per: 1000n },
  ],
});
const MANY_TIERS = yamlOf({
  ...{ name: 'many', currency: 'USD', digits: 2 },
  charges: [
    {
      ...{ id: 'sent', dimension: 'bytes_received', model: 'graduated', per: 1n },
      tiers: Array.from({ length: 90 }, (_, i) => ({
        price: `${i}.125`,
        ...(i < 89 && { up_to: BigInt(i + 1) }),
      })),
    },
  ],
});

interface Line {
  line_id: string;
  description: string;
  quantity: number | null;
  per: number | null;
  unit_price: string | null;
  amount: string;
}
interface InvoiceJson {
  tenant_id: string;
  currency: string;
  lines: Line[];
  subtotal: string;
  adjustments: { month: string; amount: string }[];
  total: string;
  projected: { method: string; total: string } | null;
}
interface TenantJson {
  tenant_id: string;
  total_events: number;
  total_bytes: number;
  by_type: { event_type: string; events: number; bytes: number }[];
  quota_events: number | null;
  quota_used_percent: number | null;
  projected_events: number;
}
interface BillJson {
  by_tenant: TenantJson[];
  closed_at?: string;
  invoices?: InvoiceJson[];
}

let box: Sandbox;
let june: Record<'html' | 'pdf', Buffer>;
beforeAll(async () => {
  box = sandbox({ initialised: true });
  const ingest = (name: string, ...all: string[]) =>
    box.json(['ingest', '--quiet', box.file(name, lines(...all))]);
  const at = (month: string, fields = {}) => event({ timestamp: `2024-${month}-05T10:00:00Z`, ...fields });
  const months = ['05', '06', '07'];
  await ingest(
    'events.ndjson',
    ...months.flatMap((month) => [
      ...Array.from({ length: 4 }, (_, i) => at(month, { value: i })),
      at(month, { event_type: 'log' }),
      at(month, { tenant_id: 'globex', event_type: 'trace' }),
    ]),
    ...BAD.map((tenant_id) => at('07', { tenant_id })),
  );
  const store = await box.openStore();
  try {
    const of = { month: parseMonth('2024-05', NOW), closed: async () => [], now: NOW };
    await applyPlan(store, { ...of, plan: await parsePlan(STANDARD, 'plan.yaml'), text: STANDARD });
    await assignPlan(store, { ...of, tenantId: 'acme-corp', plan: 'standard' });
    await setQuota(store, '', { events: 7000n }, new Date('2024-05-01T00:00:00Z'));
    await closeMonth(store, parseMonth('2024-06', NOW), {
      ...{ override: undefined, onStep: () => {} },
      now: () => new Date('2024-07-02T08:30:00Z'),
    });
  } finally {
    await store.close();
  }
  june = { html: await page('2024-06', 'html'), pdf: await page('2024-06', 'pdf') };
  await ingest('late.ndjson', at('06', { value: 9 }), at('06', { tenant_id: 'late-comer' }));
});
afterAll(() => box.remove());

let files = 0;
/** The page of a month as a file. */
async function page(month: string, format: 'html' | 'pdf', { now = NOW, args = [] as string[] } = {}) {
  const file = join(box.folder, `page-${++files}.${format}`);
  const { status, stdout, stderr } = await box.run(
    ['billing', '--month', month, '--format', format, '--output', file, ...args],
    { now },
  );
  expect([status, stdout], stderr).toEqual([0, '']);
  return readFileSync(file);
}

const month = async (name: string, ...args: string[]) =>
  box.json<BillJson>(['billing', '--month', name, ...args], { now: NOW });
/** The same, made once. */
const pages = new Map<string, Promise<Buffer>>();
function pageOf(name: string, format: 'html' | 'pdf', ...args: string[]): Promise<Buffer> {
  const key = JSON.stringify([name, format, args]);
  const made = pages.get(key) ?? page(name, format, { args });
  pages.set(key, made);
  return made;
}
const htmlSheets = async (name: string, ...args: string[]) =>
  readSheets((await pageOf(name, 'html', ...args)).toString());
const count = (value: number | null) => (value === null ? '' : formatCount(value));

describe('the page of a bill', () => {
  it.each(['2024-05', '2024-06', '2024-07'])('has the figures of --json, HTML as PDF: %s', async (name) => {
    const { by_tenant, invoices = [], closed_at } = await month(name);
    const sheets = await htmlSheets(name);
    const of = (tenant: string) => sheets.filter((sheet) => sheet.name === shown(tenant))[0] as ReadSheet;
    const isOpen = name === '2024-07';
    expect(new Set(sheets.map((sheet) => sheet.name))).toEqual(
      new Set([...by_tenant.map(({ tenant_id }) => shown(tenant_id)), ...(isOpen ? ['late-comer'] : [])]),
    );
    expect(invoices.map(({ tenant_id }) => tenant_id)).toEqual(['acme-corp']);
    for (const invoice of invoices) {
      const { kind, rows, totals, notes, facts } = of(invoice.tenant_id);
      const money = (amount: string) => `${amount} ${invoice.currency}`;
      expect(kind).toBe('Invoice');
      expect(facts).toMatchObject({ Month: name, 'Price plan': 'standard, version 1', Currency: 'EUR' });
      expect(rows).toEqual(
        invoice.lines.map(({ line_id, description, quantity, per, unit_price, amount }) => [
          ...[line_id, description, count(quantity), count(per), unit_price ?? '', amount],
        ]),
      );
      expect(rows.length).toBeGreaterThan(3);
      expect(invoice.adjustments.length).toBe(isOpen ? 1 : 0);
      expect(Object.entries(totals)).toEqual([
        ['Subtotal', money(invoice.subtotal)],
        ...invoice.adjustments.map(({ month: of_, amount }) => [`Adjustment of ${of_}`, money(amount)]),
        ['Total', money(invoice.total)],
      ]);
      const its = by_tenant.find(({ tenant_id }) => tenant_id === invoice.tenant_id) as TenantJson;
      expect(notes[0]).toContain(`Metered: ${its.total_events} events, ${its.total_bytes} bytes`);
      if (invoice.projected) {
        expect(notes[1]).toBe(
          `Projected for the whole month at this pace (${invoice.projected.method}): ${its.projected_events} events, ${money(invoice.projected.total)}`,
        );
      }
      expect(invoice.projected !== null).toBe(isOpen);
    }
    for (const { tenant_id, by_type, total_events, total_bytes, ...rest } of by_tenant) {
      const { kind, rows, totals, notes } = of(tenant_id);
      expect(notes).toContain(
        `Quota: ${count(rest.quota_events)} events a month, ${rest.quota_used_percent} % used`,
      );
      if (kind === 'Invoice') continue;
      expect(rows).toEqual(by_type.map((type) => [type.event_type, count(type.events), count(type.bytes)]));
      expect(totals.Events).toBe(count(total_events));
      expect(totals['Stored bytes']).toContain(`${count(total_bytes)} (`);
      const expected = notes.filter((note) => note.startsWith('Projected'));
      expect(expected).toEqual(
        isOpen
          ? [
              `Projected for the whole month at this pace (linear): ${rest.projected_events} ${rest.projected_events === 1 ? 'event' : 'events'}`,
            ]
          : [],
      );
    }
    const status = of('globex').facts['Status (UTC)'];
    expect(status).toBe(
      isOpen ? 'open, at 2024-07-10 12:00' : closed_at ? 'closed 2024-07-02T08:30:00Z' : 'over, not closed',
    );
    expect(closed_at).toBe(name === '2024-06' ? '2024-07-02T08:30:00Z' : undefined);

    const printed = pdfPages(await pageOf(name, 'pdf'));
    expect(printed.length).toBe(sheets.length);
    for (const [i, sheet] of sheets.entries()) expectOnPage(sheet, printed[i] ?? []);
  });

  it('of a closed month is the same to the byte, whatever comes and whenever it is made', async () => {
    const later = { now: new Date('2025-01-01T00:00:00Z') };
    expect((await page('2024-06', 'html', later)).equals(june.html)).toBe(true);
    expect((await page('2024-06', 'pdf', later)).equals(june.pdf)).toBe(true);
  });

  it('of an open month says what closed ones are billed for once more, also without a plan', async () => {
    const sheets = await htmlSheets('2024-07');
    const notesOf = (tenant: string) => sheets.find(({ name }) => name === tenant)?.notes.join('\n');
    expect(notesOf('acme-corp')).toMatch(/Changed of 2024-06 since it was billed, acme-corp: \+1 event,/);
    expect(notesOf('late-comer')).toMatch(/Changed of 2024-06 since it was billed, late-comer: \+1 event,/);
    expect(notesOf('globex')).not.toContain('Changed');
  });

  it('of one tenant is its page of that of all', async () => {
    const [only, ...others] = await htmlSheets('2024-07', '--tenant', 'acme-corp');
    expect(others).toEqual([]);
    expect(await htmlSheets('2024-07')).toContainEqual(only);
    const [none] = await htmlSheets('2024-07', '--tenant', 'nobody');
    expect(none).toMatchObject({ kind: 'Usage', name: 'nobody', rows: [], totals: { Events: '0' } });
    const [empty] = await htmlSheets('2023-01');
    expect(empty).toMatchObject({ name: 'all tenants', totals: { Events: '0' } });
  });

  it('of a tenant with invoices in two currencies is a page of each', async () => {
    const store = await box.openStore();
    try {
      const its = await bill(store, { tenantId: 'acme-corp', month: parseMonth('2024-07', NOW), now: NOW });
      const both = its.invoices.flatMap((invoice) => [invoice, { ...invoice, currency: 'JPY' }]);
      const sheets = billSheets({ ...its, invoices: both }, NOW);
      expect(sheets.map(({ name, totals }) => [name, totals.at(-1)?.[1].slice(-3)])).toEqual([
        ['acme-corp', 'EUR'],
        ['acme-corp', 'JPY'],
      ]);
    } finally {
      await store.close();
    }
  });

  it('by a plan that is only tried says so', async () => {
    const plan = box.file('try.yaml', STANDARD.replace('10.00', '20.00'));
    const [sheet] = await htmlSheets('2024-06', '--plan', plan, '--tenant', 'acme-corp');
    expect(sheet).toMatchObject({ kind: 'Trial invoice', facts: { 'Price plan': 'standard (only tried)' } });
    expect(sheet?.rows[0]).toContain('20.00');
  });
});

describe('a page of bad names', () => {
  it('has nothing but text of them, and runs and loads nothing', async () => {
    const html = (await pageOf('2024-07', 'html')).toString();
    expect(html).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/u);
    const tags = tagsOf(html);
    const styled = [...html.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, style = '']) => style);
    const hash = createHash('sha256').update(styled.join()).digest('base64');
    expect(html).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">`,
    );
    expect(styled.join()).not.toMatch(/url|@import|:\/\//);
    expect(new Set(tags.map(({ tag }) => tag))).toEqual(
      new Set([
        ...['html', 'head', 'meta', 'title', 'body', 'article', 'header', 'div', 'p', 'h1', 'dl'],
        ...['dt', 'dd', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'ul', 'li'],
      ]),
    );
    expect(new Set(tags.flatMap(({ attributes }) => attributes))).toEqual(
      new Set(['lang', 'charset', 'http-equiv', 'content', 'name', 'class', 'dir', 'scope']),
    );
  });

  it('as a PDF has nothing that acts, and says what no font of it has', async () => {
    const args = [
      'billing',
      '--month',
      '2024-07',
      '--format',
      'pdf',
      '--output',
      join(box.folder, 'bad.pdf'),
    ];
    const { stderr } = await box.run(args, { now: NOW });
    expect(stderr).toMatch(/^no font has U\+05E9, U\+05DC, U\+05D5, U\+05DD: written by their code points/);
    expect(stderr).toMatch(/^written to .*bad\.pdf \([\d.]+ KiB\): 7 bills$/m);
    const pdf = readFileSync(join(box.folder, 'bad.pdf')).toString('latin1');
    expect(pdf).not.toMatch(/\/(Annots|URI|JavaScript|JS|Launch|OpenAction|EmbeddedFile)\b/);
  });

  it('is written with the fonts that are given, and with none that is no font', async () => {
    const args = ['--tenant', 'shop \uea76', '--font', iconFont()];
    const [first = []] = pdfPages(await pageOf('2024-07', 'pdf', ...args));
    expect(first.map(([cell]) => cell)).toContain('shop \uea76');
    // One that has the signs of Hebrew, which a PDF would have in the wrong order.
    const hebrew = readFileSync(iconFont())
      .toString('hex')
      .replace(/0000(ea[67].)0000\1/g, (_, digits: string) => {
        const sign = (Number.parseInt(digits, 16) - 0xea60 + 0x5d0).toString(16).padStart(8, '0');
        return `${sign}${sign}`;
      });
    const font = box.file('hebrew.ttf', Buffer.from(hebrew, 'hex'));
    expect((openSync(font) as Font).hasGlyphForCodePoint(0x5e9)).toBe(true);
    const [second = []] = pdfPages(await pageOf('2024-07', 'pdf', '--tenant', '\u05e9', '--font', font));
    expect(second.map(([cell]) => cell)).toContain('[U+05E9]');
    const { status, stderr } = await box.run(
      ['billing', '--month', '--format', 'pdf', '--output', 'x.pdf', '--font', box.file('no.ttf', 'no font')],
      { now: NOW },
    );
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/no\.ttf cannot be used as a font: .*; name a /),
    ]);
  });
});

describe('a bill of many lines', () => {
  it.each([
    ['a4', '595.28 841.89'],
    ['letter', '612 792'],
  ])('has its titles on every page, and no line is cut: %s', async (paper, size) => {
    const plan = box.file('many.yaml', MANY_TIERS);
    const args = ['--tenant', 'acme-corp', '--plan', plan, '--paper', paper];
    const [sheet] = await htmlSheets('2024-06', ...args);
    const pdf = await pageOf('2024-06', 'pdf', ...args);
    expect(pdf.toString('latin1')).toContain(`/MediaBox [0 0 ${size}]`);
    const printed = pdfPages(pdf);
    expect(printed.length).toBeGreaterThan(2);
    const titles = ['Line', 'What', 'Quantity', 'Per', 'Unit price', 'Amount USD'];
    expect(sheet?.titles).toEqual(titles);
    for (const [i, one] of printed.entries()) {
      expect(one.filter((line) => String(line) === String(titles)).length).toBe(1);
      expect(one.at(-1)).toEqual([`${i + 1} / ${printed.length}`]);
    }
    expect(sheet?.rows.length).toBe(90);
    const inPdf = printed.flatMap((one) => one.filter(([id = '']) => id.startsWith('sent.')));
    expect(inPdf).toEqual(sheet?.rows);
    expect(printed.at(-1)).toContainEqual(['Total', sheet?.totals.Total]);
    expect((await pageOf('2024-06', 'html', ...args)).toString()).toContain(
      `@page { size: ${paper === 'a4' ? 'A4' : 'letter'} }`,
    );
  });
});

describe('where a page goes', () => {
  it('through a pipe, as it would into a file', async () => {
    const file = june.pdf.toString();
    const args = ['billing', '--month', '2024-06', '--format', 'pdf'];
    expect(await box.run(args, { now: NOW })).toMatchObject({ status: 0, stdout: file, stderr: '' });
    expect(file).toMatch(/^%PDF-1\.\d[\s\S]*%%EOF\s*$/);
    const dash = await box.run([...args, '--output', '-'], { now: NOW });
    expect(dash.stdout).toBe(file);
  });

  it('into a file that is there only by force, and then whole: who has the old one open keeps it', async () => {
    const path = box.file('there.html', 'old');
    const other = join(box.folder, 'other.html');
    linkSync(path, other);
    const args = ['billing', '--month', '2024-06', '--format', 'html', '--output', path];
    const refused = await box.run(args, { now: NOW });
    expect([refused.status, refused.stderr]).toEqual([
      2,
      `infrasage: ${path} is there already; --force replaces it\n`,
    ]);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect((await box.run([...args, '--force'], { now: NOW })).status).toBe(0);
    expect(readFileSync(path).equals(june.html)).toBe(true);
    expect(readFileSync(other, 'utf8')).toBe('old');
    const lost = await box.run([...args.slice(0, -1), join(box.folder, 'none', 'x.html')], { now: NOW });
    expect(lost.status).toBe(3);
    expect(lost.stderr).toMatch(/x\.html cannot be written: there is no such folder/);
    expect(readdirSync(box.folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each([
    [['--format', 'pdf'], /a PDF is not for a terminal; name a file: --output bill\.pdf/],
    [['--format', 'html', '--output', '-'], /an HTML page is not for a terminal; name a file/],
    [
      ['--output', 'x.pdf'],
      /--output goes with --format html or pdf; infrasage billing --month --format pdf/,
    ],
    [['--paper', 'a4', '--json'], /--paper goes with --format html or pdf/],
    [
      ['--format', 'pdf', '--paper', 'a5', '--output', 'x'],
      /--paper a5 is not a size; use one of a4, letter/,
    ],
    [['--format', 'html', '--font', 'x.ttf', '--output', 'x'], /--font goes with --format pdf/],
    [['--format', 'pdf', '--chart', '--output', 'x'], /--chart has no page to print/],
    [['--format', 'html', '--explain', 'log', '--tenant', 'a', '--output', 'x'], /--explain has no page to/],
    [['--format', 'pdf', '--output', '.'], /\. is not a file; name a file/],
  ])('nowhere, with what to do: %j', async (args, said) => {
    const { status, stdout, stderr } = await box.run(['billing', '--month', '2024-06', ...args], {
      ...{ now: NOW, columns: 80 },
    });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr.replace(/\s+/g, ' ')).toMatch(said);
    expect(readdirSync(box.folder)).not.toContain('x');
  });

  it('of no other command, and each says which has one', async () => {
    for (const args of [['usage'], ['costs', '--month'], ['billing', 'history'], ['plans', 'list']]) {
      for (const format of ['html', 'pdf']) {
        const { status, stdout, stderr } = await box.run([...args, '--format', format]);
        expect([status, stdout]).toEqual([2, '']);
        expect(stderr).toMatch(new RegExp(`does not print ${format}; infrasage billing does`));
      }
    }
  });
});

/** A name as it is printed. */
function shown(tenant: string): string {
  return tenant.replace('\u202e', '');
}

/** That each row, fact and total of a sheet is a line of its page in the PDF, in this order. */
function expectOnPage({ name, facts, titles, rows, totals, notes }: ReadSheet, page: string[][]) {
  const filled = (cells: readonly string[]) => cells.filter((cell) => cell !== '');
  const wanted = [...(titles.length > 0 ? [titles] : []), ...rows, ...Object.entries(totals)].map(filled);
  expect(page.filter((line) => wanted.some((cells) => String(cells) === String(line)))).toEqual(wanted);
  const said = page.map((line) => line.join(' '));
  for (const fact of Object.entries(facts)) {
    expect(said.some((line) => line.endsWith(fact.join(' ')))).toBe(true);
  }
  for (const note of notes) expect(said).toContain(note);
  // The name stands beside the facts, over as many lines as it takes.
  const left = page.flatMap(([first = '']) => (first in facts ? [] : first)).slice(0, 8);
  const points = [...name].map((sign) => (/\p{Script=Hebrew}/u.test(sign) ? codePoint(sign) : sign));
  expect(left.join('')).toContain(points.join('').replaceAll(' ', ''));
}

/** A font of signs for characters that are nobody's. */
function iconFont(): string {
  const folder = fileURLToPath(
    new URL('../node_modules/playwright-core/lib/vite/recorder/assets/', import.meta.url),
  );
  return join(folder, readdirSync(folder).find((name) => name.endsWith('.ttf')) ?? 'none.ttf');
}

function codePoint(sign: string): string {
  return `[U+${sign.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}]`;
}
