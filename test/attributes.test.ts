import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { as, server } from './helpers/api.ts';
import { type Sandbox, sandbox, withStore } from './helpers/cli.ts';
import type { Ask } from './helpers/engine.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters, parseCsv, parseMarkdown } from './helpers/formats.ts';

interface Row {
  tenant_id?: string;
  kind: 'value' | 'none' | 'unattributed';
  events: number;
  bytes: number;
  [attribute: `attributes.${string}`]: string | null;
}
interface Breakdown {
  breakdown: Row[];
  total_events: number;
  total_bytes: number;
}

const PERIOD = ['--since', '2024-01-01', '--until', '2025-01-01'];
const by = (key: string, ...args: string[]) => ['usage', ...PERIOD, ...args, '--by', `attributes.${key}`];
const sum = (rows: readonly Row[], figure: 'events' | 'bytes') =>
  rows.reduce((total, row) => total + row[figure], 0);

/** Keys and values that mean something to a statement, a parser, a terminal, a spreadsheet or a web page. */
const HOSTILE = [
  "'; DROP TABLE infrasage_raw_firehose; --",
  "']='' OR 1=1",
  '{key:String}',
  '{{db}}',
  '__proto__',
  'constructor',
  'tenant_id',
  'kind',
  'events',
  'a.b.c',
  ' padded ',
  'tab\tline\nfeed\r',
  'back\\slash\\n\\',
  '"quoted", `ticked`',
  '=HYPERLINK("http://x.example","y")',
  '@SUM(1+1)*cmd|a!A1',
  '<script>alert(1)</script>',
  '| a | b |',
  '\u001b[2Jcleared\u0007',
  '\u202ereversed\u2066',
  '(none)',
  '(unattributed)',
  'Ünïcode 🦆 團隊',
  'x'.repeat(300),
];

/** Those of which every command is run; the API is asked for all. */
const WORST = [0, 11, 18].map((i) => HOSTILE[i] ?? '');

describe('hostile keys and values', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    // Of each key the value is another of them; what the order is made by differs.
    const events = HOSTILE.flatMap((key, i) =>
      Array.from({ length: i + 1 }, () =>
        event({ attributes: { [key]: HOSTILE[(i + 7) % HOSTILE.length], all: key } }),
      ),
    );
    await box.json(['ingest'], { stdin: lines(...events, event({ attributes: { all: '' } }), event()) });
  });
  afterAll(() => box.remove());

  it('come whole in JSON, tell an empty value from none, and come first when they are largest', async () => {
    const { breakdown } = await box.json<Breakdown>(by('all'));
    const found = breakdown.map((row) => [row['attributes.all'], row.kind, row.events]);
    expect(found).toEqual([
      ...HOSTILE.map((key, i) => [key, 'value', i + 1])
        .reverse()
        .slice(0, -1),
      ['', 'value', 1],
      [HOSTILE[0], 'value', 1],
      [null, 'none', 1],
    ]);
    const { stdout } = await box.run([...by('all'), '--format', 'ndjson']);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    expect(rows).toEqual(breakdown);
    expect(activeCharacters(stdout)).toEqual([]);
  });

  it('are inert in tables, also as headings, and no table is wider than the terminal', async () => {
    for (const key of WORST) {
      const { stdout, status } = await box.run(by(key));
      expect(status).toBe(0);
      expect(activeCharacters(stdout)).toEqual([]);
    }
    const { stdout } = await box.run(by('all'));
    // A value that reads like a row without one is in quotes.
    for (const label of ['""', '"(none)"', '(none)', '"(unattributed)"', '"\\"quoted\\", `ticked`"'])
      expect(stdout.split('\n').filter((line) => line.startsWith(`${label}  `))).toHaveLength(1);
    const chart = await box.run([...by('all'), '--chart']);
    expect(activeCharacters(chart.stdout)).toEqual([]);
    expect(chart.stdout).toContain('Events by attributes.all');
  });

  it('are no formulas in CSV and no markup in Markdown, headers neither', async () => {
    for (const key of WORST) {
      const csv = await box.run([...by(key), '--format', 'csv']);
      const [header = [], ...rows] = parseCsv(csv.stdout);
      expect(header.slice(1)).toEqual(['kind', 'events', 'bytes']);
      expect(activeCharacters(csv.stdout)).toEqual([]);
      for (const cell of [header, ...rows].flat()) expect(cell).not.toMatch(/^[=+\-@\t\r]/);
      const markdown = await box.run([...by(key), '--format', 'markdown']);
      for (const row of [parseMarkdown(markdown.stdout).header, ...parseMarkdown(markdown.stdout).rows])
        expect(row.join(' ')).not.toMatch(/(?<!\\)[<>|`[\]]/);
    }
  });

  it('are found by exactly their key over the API, in pages that hold every row once', async () => {
    const store = await box.openStore();
    const { app } = await server(store);
    try {
      const headers = await as('viewer');
      const get = async (url: string) => {
        const answer = await app.inject({ url, headers });
        return { status: answer.statusCode, ...(answer.json() as Breakdown & { next_cursor?: string }) };
      };
      const url = (key: string, more = '') =>
        `/api/v1/usage/breakdown?${new URLSearchParams({ since: '2024-01-01', until: '2024-03-01', group_by: `attributes.${key}` })}${more}`;
      const whole = await get(url('all'));
      expect(whole.breakdown).toHaveLength(HOSTILE.length + 2);
      const paged: Row[] = [];
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await get(url('all', `&limit=5${cursor && `&cursor=${cursor}`}`));
        expect(page).toMatchObject({ status: 200, total_events: whole.total_events });
        paged.push(...page.breakdown);
        cursor = page.next_cursor;
      }
      expect(paged).toEqual(whole.breakdown);
      for (const [i, key] of HOSTILE.entries()) {
        const { breakdown } = await get(url(key));
        expect(breakdown).toHaveLength(2);
        const value = HOSTILE[(i + 7) % HOSTILE.length];
        expect(breakdown.find(({ kind }) => kind === 'value')).toMatchObject({
          [`attributes.${key}`]: value,
          events: i + 1,
        });
      }
      for (const key of ['nul\0byte', 'ALL', ''])
        expect((await get(url(key))).breakdown).toMatchObject([{ kind: 'none' }]);
      expect(await get(url('x'.repeat(1_025)))).toMatchObject({ status: 400 });
      const csv = await app.inject({ url: url('all'), headers: { ...headers, accept: 'text/csv' } });
      expect(parseCsv(csv.body)[0]).toEqual(['attributes.all', 'kind', 'events', 'bytes']);
    } finally {
      await app.close();
      await store.close();
    }
  });
});

it('adds up to the breakdown by type, whatever the events, their hours, tenants and the period', async () => {
  await withStore(async (box) => {
    const arbitrary = fc.record({
      tenant_id: fc.constantFrom('a', 'b'),
      event_type: fc.constantFrom('log', 'metric'),
      timestamp: fc
        .integer({ min: 0, max: 6 * 3_600_000 })
        .map((ms) => new Date(Date.UTC(2024, 1, 28, 9) + ms).toISOString()),
      attributes: fc.constantFrom({}, { team: '' }, { team: 'x' }, { team: 'y', z: 'x' }),
    });
    const events = fc.sample(arbitrary, { numRuns: 400, seed: 8 });
    for (const part of [events.slice(0, 150), events.slice(150)])
      await box.json(['ingest'], { stdin: lines(...part.map((one) => event(one))) });
    for (const [since, until] of [
      ['2024-02-28', '2024-02-29'],
      ['2024-02-28T10:00:01Z', '2024-02-28T12:30:00Z'],
    ] as const) {
      for (const tenant of [[], ['--tenant', 'a']]) {
        const period = ['--since', since, '--until', until, ...tenant];
        const types = await box.json<Breakdown>(['usage', ...period]);
        const teams = await box.json<Breakdown>(['usage', ...period, '--by', 'attributes.team']);
        const totals = { total_events: types.total_events, total_bytes: types.total_bytes };
        expect(teams).toMatchObject(totals);
        expect([sum(teams.breakdown, 'events'), sum(teams.breakdown, 'bytes')]).toEqual(
          Object.values(totals),
        );
        // The first half of the period, and no more: hours are whole.
        const inside = events.filter(
          ({ tenant_id, timestamp }) =>
            (tenant.length === 0 || tenant_id === 'a') &&
            `${timestamp.slice(0, 13)}:00:00Z` >= since &&
            timestamp < (until === '2024-02-29' ? until : '2024-02-28T13'),
        );
        expect(types.total_events).toBe(inside.length);
        const kinds = new Map<string, number>();
        for (const { tenant_id, attributes } of inside) {
          const name = JSON.stringify([tenant_id, 'team' in attributes ? attributes.team : null]);
          kinds.set(name, (kinds.get(name) ?? 0) + 1);
        }
        expect(
          new Map(
            teams.breakdown.map((row) => [
              JSON.stringify([row.tenant_id ?? 'a', row['attributes.team']]),
              row.events,
            ]),
          ),
        ).toEqual(kinds);
      }
    }
  });
});

/** Makes the raw events of a tenant go as the term of raw rows makes them go. */
const lose = (sql: Ask, tenant: string) =>
  sql(
    `ALTER TABLE {{db}}.infrasage_raw_firehose DELETE WHERE tenant_id = '${tenant}' AND service_id = 'gone' SETTINGS mutations_sync = 2`,
  );

it('has what is metered and not there any more in a row of its own, of each tenant', async () => {
  await withStore(async (box) => {
    const of = (tenant_id: string, service_id: string, team: string, count: number) =>
      Array.from({ length: count }, () => event({ tenant_id, service_id, attributes: { team } }));
    await box.json(['ingest'], {
      stdin: lines(
        ...of('a', 'gone', 'x', 5),
        ...of('a', 'kept', 'x', 2),
        ...of('b', 'gone', 'y', 3),
        ...of('c', 'kept', 'x', 1),
      ),
    });
    const before = await box.json<Breakdown>(['usage', ...PERIOD]);
    await box.session(async (sql) => {
      await lose(sql, 'a');
      await lose(sql, 'b');
    });
    const after = await box.json<Breakdown>(by('team'));
    expect(
      after.breakdown.map((row) => [row.tenant_id, row['attributes.team'], row.kind, row.events]),
    ).toEqual([
      ['a', null, 'unattributed', 5],
      ['b', null, 'unattributed', 3],
      ['a', 'x', 'value', 2],
      ['c', 'x', 'value', 1],
    ]);
    expect(after).toMatchObject({ total_events: before.total_events, total_bytes: before.total_bytes });
    expect(sum(after.breakdown, 'bytes')).toBe(before.total_bytes);
    const { stdout } = await box.run(by('team', '--tenant', 'b'));
    expect(stdout).toMatch(/\(unattributed\) {2,}3 /);
    expect(stdout).toContain('its raw events were removed by their age');
  });
});

it('refuses what is no grouping, and says which there are', async () => {
  await withStore(async (box) => {
    for (const wrong of ['color', 'attributes']) {
      const { status, stdout, stderr } = await box.run(['usage', '--by', wrong]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toContain('attributes.KEY, such as attributes.team');
    }
  });
});
