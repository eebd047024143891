import { stripVTControlCharacters } from 'node:util';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drawCharts } from '../src/render/charts.ts';
import { showsUnicode } from '../src/render/glyphs.ts';
import type { Chart } from '../src/render/report.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { event, lines } from './helpers/events.ts';
import { activeCharacters } from './helpers/formats.ts';

const BARS: Chart = {
  kind: 'bars',
  title: 'Events by type',
  measure: 'count',
  total: 1311n,
  bars: [
    { label: 'metric', value: 684n },
    { label: 'log', value: 327n },
    { label: 'trace', value: 211n },
    { label: 'event', value: 88n },
    { label: 'slo', value: 1n },
  ],
};
const HOURS: Chart = {
  kind: 'columns',
  title: 'Events',
  step: 'hour',
  measure: 'count',
  merged: 'sum',
  columns: Array.from({ length: 24 }, (_, i) => ({
    ordinal: i + 6,
    label: (i + 6) % 24 === 0 ? '11-25' : `${String((i + 6) % 24).padStart(2, '0')}:00`,
    value: i === 5 ? 0n : BigInt(Math.round(500 + 450 * Math.sin(i / 3))),
  })),
};
const MONTH: Chart = {
  kind: 'columns',
  title: 'Events of the month, added up,',
  step: 'day',
  measure: 'count',
  merged: 'last',
  columns: Array.from({ length: 30 }, (_, i) => ({
    ordinal: i,
    label: `11-${String(i + 1).padStart(2, '0')}`,
    value: BigInt((i + 1) * 50),
    ...(i > 20 && { projected: true }),
  })),
  rules: [
    { label: 'quota 1,400', level: 1400n, limit: true },
    { label: '50 %', level: 700n, limit: false },
    { label: '80 %', level: 1120n, limit: false },
  ],
};
const GAUGES: Chart = {
  kind: 'gauges',
  title: 'Quotas of 2026-11',
  gauges: [
    { label: 'globex', amount: '1,600 of 1,000 events', percent: 160, marks: [80], state: 'full' },
    { label: 'acme-corp', amount: '1,311 of 1,500 events', percent: 87.4, marks: [50, 80], state: 'warned' },
    { label: 'initech', amount: '3 of 1,000,000 events', percent: 0, marks: [], state: 'fine' },
  ],
};

const drawn = (chart: Chart, width: number, { unicode = true, color = false } = {}) =>
  `\n${drawCharts([chart], { width, color, unicode }).join('\n')}\n`;

describe('charts, as they are drawn', () => {
  test('bars: names, a bar as long as its part of the largest, figures where there is room', () => {
    expect(drawn(BARS, 80)).toMatchInlineSnapshot(`
      "
      Events by type
      metric  ███████████████████████████████████████████████████████████  684  52.2 %
      log     ████████████████████████████▎                                327  24.9 %
      trace   ██████████████████▎                                          211  16.1 %
      event   ███████▋                                                      88   6.7 %
      slo     ▏                                                              1   0.1 %
      "
    `);
    expect(drawn(BARS, 40)).toMatchInlineSnapshot(`
      "
      Events by type
      metric  ███████████████████  684  52.2 %
      log     █████████▏           327  24.9 %
      trace   █████▉               211  16.1 %
      event   ██▌                   88   6.7 %
      slo     ▏                      1   0.1 %
      "
    `);
    expect(drawn(BARS, 24)).toMatchInlineSnapshot(`
      "
      Events by type
      metric  ███████████  684
      log     █████▎       327
      trace   ███▍         211
      event   █▍            88
      slo     ▏              1
      "
    `);
    expect(drawn(BARS, 60, { unicode: false })).toMatchInlineSnapshot(`
      "
      Events by type
      metric  #######################################  684  52.2 %
      log     ###################                      327  24.9 %
      trace   ############                             211  16.1 %
      event   #####                                     88   6.7 %
      slo     #                                          1   0.1 %
      "
    `);
  });

  test('columns: a step each, or several where there is no room', () => {
    expect(drawn(HOURS, 80)).toMatchInlineSnapshot(`
      "
      Events by hour (UTC)
       1K ┤            ▄▄    ▂▂                                              ▁▁ ▄▄
          │      ▂▂ ██ ██    ██ ▅▅                                        ▃▃ ██ ██
      750 ┤   ▁▁ ██ ██ ██    ██ ██ ▅▅                                  ▃▃ ██ ██ ██
          │   ██ ██ ██ ██    ██ ██ ██ ▄▄                            ▁▁ ██ ██ ██ ██
      500 ┤██ ██ ██ ██ ██    ██ ██ ██ ██ ▂▂                         ██ ██ ██ ██ ██
          │██ ██ ██ ██ ██    ██ ██ ██ ██ ██ ▂▂                   ██ ██ ██ ██ ██ ██
      250 ┤██ ██ ██ ██ ██    ██ ██ ██ ██ ██ ██ ▂▂          ▁▁ ▇▇ ██ ██ ██ ██ ██ ██
          │██ ██ ██ ██ ██    ██ ██ ██ ██ ██ ██ ██ ▅▅ ▃▃ ▄▄ ██ ██ ██ ██ ██ ██ ██ ██
        0 └────────────────────────────────────────────────────────────────────────
           06:00 08:00 10:00 12:00 14:00 16:00 18:00 20:00 22:00 11-25 02:00 04:00
      "
    `);
    expect(drawn(HOURS, 40)).toMatchInlineSnapshot(`
      "
      Events by hour (UTC)
       1K ┤    ▄ ▂               ▁▄
          │  ▂██ █▅             ▃██
      750 ┤ ▁███ ██▅           ▃███
          │ ████ ███▄         ▁████
      500 ┤█████ ████▂        █████
          │█████ █████▂      ██████
      250 ┤█████ ██████▂   ▁▇██████
          │█████ ███████▅▃▄████████
        0 └────────────────────────
           06:00 12:00 18:00 11-25
      "
    `);
    expect(drawn(HOURS, 20)).toMatchInlineSnapshot(`
      "
      Events by 2 hours (…
        2K ┤           ▃
           │ ▅ ▇       █
      1.5K ┤ █ █▁     ▇█
           │▅█ ██     ██
        1K ┤██▆██    ▅██
           │█████▆   ███
       500 ┤██████  ▄███
           │███████▄████
         0 └────────────
               12:00
      "
    `);
  });

  test('columns: the hours of decades are drawn too', () => {
    const columns = Array.from({ length: 250_000 }, (_, i) => ({ ordinal: i, label: 'x', value: 1n }));
    const chart = drawn({ ...HOURS, columns }, 80);
    expect(chart).toContain('Events by 672 hours (UTC)');
    for (const line of chart.split('\n')) expect(stringWidth(line)).toBeLessThanOrEqual(80);
  });

  test('a month against its limit, and what is projected', () => {
    expect(drawn(MONTH, 80)).toMatchInlineSnapshot(`
      "
      Events of the month, added up, by day (UTC); ░ is projected
      1.6K ┤                                                        ░ ░
           │━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━░━░━░━░━░━░━ quota 1,400
      1.2K ┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▂╌░╌░╌░╌░╌░╌░╌░╌░╌░╌ 80 %
           │                                ▂ ▄ ▆ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
       800 ┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▂╌▄╌▆╌█╌█╌█╌█╌█╌█╌░╌░╌░╌░╌░╌░╌░╌░╌░╌ 50 %
           │                ▂ ▄ ▆ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
       400 ┤        ▂ ▄ ▆ █ █ █ █ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
           │▂ ▄ ▆ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
         0 └────────────────────────────────────────────────────────────
            11-01 11-04 11-07 11-10 11-13 11-16 11-19 11-22 11-25 11-28
      "
    `);
    expect(drawn(MONTH, 60, { unicode: false })).toMatchInlineSnapshot(`
      "
      Events of the month, added up, by day (UTC); : is projected
      1.6K +                            ::
           |========================:::::: quota 1,400
      1.2K +--------------------.::::::::: 80 %
           |                ..###:::::::::
       800 +------------..#######::::::::: 50 %
           |        ..###########:::::::::
       400 +    ..###############:::::::::
           |..###################:::::::::
         0 +------------------------------
            11-01 11-07 11-13 11-19 11-25
      "
    `);
  });

  test('gauges: one scale, thresholds and limits marked', () => {
    expect(drawn(GAUGES, 80)).toMatchInlineSnapshot(`
      "
      Quotas of 2026-11
      globex     ██████████████████┊████┃██████████████   160 %  1,600 of 1,000 events
      acme-corp  ███████████┊██████┊█▊··┃··············  87.4 %  1,311 of 1,500 events
      initech    ·······················┃··············     0 %  3 of 1,000,000 events
      "
    `);
    expect(drawn(GAUGES, 60, { unicode: false })).toMatchInlineSnapshot(`
      "
      Quotas of 2026-11
      globex     ########+##|######   160 %  1,600 of 1,000 events
      acme-corp  #####+##+#.|......  87.4 %  1,311 of 1,500 events
      initech    ...........|......     0 %  3 of 1,000,000 events
      "
    `);
  });

  test.each([20, 24, 33, 40, 60, 79, 80, 100, 200])('are no wider than %i columns', (width) => {
    for (const chart of [BARS, HOURS, MONTH, GAUGES]) {
      for (const unicode of [true, false]) {
        const widths = drawn(chart, width, { unicode })
          .split('\n')
          .map((line) => stringWidth(line));
        // Where there is room for nothing but the figures, they stay.
        expect(Math.max(...widths), drawn(chart, width, { unicode })).toBeLessThanOrEqual(
          Math.max(width, 36),
        );
      }
    }
  });

  test('ASCII is ASCII, and colour is colour alone', () => {
    for (const chart of [BARS, HOURS, MONTH, GAUGES]) {
      expect(drawn(chart, 80, { unicode: false })).toMatch(/^[\n\x20-\x7e]*$/);
      const coloured = drawn(chart, 80, { color: true });
      expect(coloured).toContain('\u001b[');
      expect(stripVTControlCharacters(coloured)).toBe(drawn(chart, 80));
    }
  });

  test('names that a terminal would act on are inert, and wide ones are measured as they are shown', () => {
    const hostile: Chart = {
      ...BARS,
      bars: [
        { label: '\u001b]52;c;AAAA\u0007\u001b[2Jcleared\u202E', value: 5n },
        { label: '端末端末端末端末端末', value: 4n },
        { label: 'e\u0301\u0301\u0301 👩‍👩‍👧 flags 🇩🇪🇫🇷', value: 3n },
        { label: 'x'.repeat(300), value: 2n },
      ],
    };
    for (const width of [40, 80]) {
      const lines_ = drawn(hostile, width).trim().split('\n').slice(1);
      expect(activeCharacters(lines_.join('\n'))).toEqual([]);
      const barsAt = lines_.map((line) => stringWidth(line.slice(0, line.search(/[▏▎▍▌▋▊▉█]/))));
      expect(new Set(barsAt).size).toBe(1);
      expect(Math.max(...lines_.map((line) => stringWidth(line)))).toBeLessThanOrEqual(width);
    }
  });

  test('nothing at all is drawn as nothing', () => {
    const none = { ...HOURS, columns: HOURS.columns.map((of) => ({ ...of, value: 0n })) };
    expect(drawn(none, 60)).not.toMatch(/[▁▂▃▄▅▆▇█]/);
    expect(drawn({ ...BARS, bars: [{ label: 'metric', value: 0n }], total: 0n }, 60)).toMatch(
      /metric +0 +0\.0 %/,
    );
  });
});

describe('what a terminal is taken to show', () => {
  test.each([
    [{}, true],
    [{ LANG: 'en_US.UTF-8' }, true],
    [{ LANG: 'C.utf8' }, true],
    [{ LANG: 'C' }, false],
    [{ LANG: 'de_DE.ISO-8859-1' }, false],
    [{ LANG: 'en_US.UTF-8', LC_ALL: 'POSIX' }, false],
    [{ LANG: 'C', LC_CTYPE: 'C.UTF-8' }, true],
    [{ TERM: 'dumb' }, false],
    [{ TERM: 'linux', LANG: 'en_US.UTF-8' }, false],
    [{ TERM: 'xterm-256color', LANG: 'en_US.UTF-8' }, true],
  ])('%j', (env, unicode) => {
    expect(showsUnicode(env)).toBe(unicode);
  });
});

describe('--chart', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox({ initialised: true });
    const events = [
      ...Array.from({ length: 6 }, () => event({ timestamp: '2026-02-03T10:15:00Z' })),
      ...Array.from({ length: 3 }, () => event({ timestamp: '2026-02-03T23:59:59Z', event_type: 'log' })),
      ...Array.from({ length: 2 }, () => event({ timestamp: '2026-02-05T00:00:00Z', tenant_id: 'globex' })),
    ];
    await box.run(['ingest'], { stdin: lines(...events) });
    const now = new Date('2026-02-01T00:00:00Z');
    await box.json(['quota', 'set', '12', '--tenant', 'acme-corp'], { now });
    await box.json(['alerts', 'add', '50', '--tenant', 'acme-corp'], { now });
  });
  afterAll(() => box.remove());
  const shown = async (...args: string[]) => {
    const { status, stdout, stderr } = await box.run(args, { now: new Date('2026-02-19T00:00:00Z') });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    // Stored bytes are the engine's estimate.
    return `\n${stdout.replace(/\d+\.\d\d B stored/g, '# B stored')}`;
  };
  const FEBRUARY = ['--since', '2026-02-03', '--until', '2026-02-06'];

  test('usage: bars of the breakdown, tenants together, and the period by hour', async () => {
    expect(await shown('usage', ...FEBRUARY, '--chart')).toMatchInlineSnapshot(`
      "
      Usage of all tenants, 2026-02-03T00:00:00Z to 2026-02-06T00:00:00Z

      Events by type
      metric  █████████████████████████████████████████████████████████████  8  72.7 %
      log     ██████████████████████▉                                        3  27.3 %

      Events by hour (UTC)
      8 ┤
        │
      6 ┤          █
        │          █
      4 ┤          █
        │          █            █
      2 ┤          █            █                        █
        │          █            █                        █
      0 └────────────────────────────────────────────────────────────────────────
         02-03 06:00 12:00 18:00 02-04 06:00 12:00 18:00 02-05 06:00 12:00 18:00

      Total: 11 events, # B stored

      This month:
      Quota of acme-corp: 9 of 12 events used (75 %); alerts at 50 % (reached)
      "
    `);
  });

  test('usage by day: that alone, in stored bytes where asked for', async () => {
    expect(await shown('usage', ...FEBRUARY, '--by', 'day', '--chart', 'bytes', '--ascii')).toMatch(
      /\nStored bytes by day \(UTC\)\n *\d+ B \+/,
    );
    expect(await shown('usage', ...FEBRUARY, '--by', 'month', '--chart')).toMatch(
      /\nEvents by month \(UTC\)\n/,
    );
  });

  test('usage of more than a year: the days have their year', async () => {
    const chart = (since: string) => shown('usage', '--since', since, '--until', '2026-02-06', '--chart');
    expect(await chart('2025-02-06')).toMatch(/\n *03-10 +04-21 .*\n/);
    expect(await chart('2025-02-05')).toMatch(/\n *2025-03-10 +2025-06-02 .*\n/);
  });

  test('usage without events: no chart', async () => {
    expect(await shown('usage', '--since', '2025-01-01', '--until', '2025-01-02', '--chart')).toMatch(
      /^\nUsage of .*\n\nNo events in this period\.\n/,
    );
  });

  test('billing: the month added up, against the limit and thresholds of its tenant', async () => {
    expect(
      await shown('billing', '--month', '2026-02', '--tenant', 'acme-corp', '--chart'),
    ).toMatchInlineSnapshot(`
      "
      Bill of acme-corp, 2026-02 (UTC), still open

      Events by type
      metric  █████████████████████████████████████████████████████████████  6  66.7 %
      log     ██████████████████████████████▌                                3  33.3 %

      Events of the month, added up, by day (UTC); ░ is projected
      16 ┤
         │                                                    ░ ░
      12 ┤━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━░━░━░━░━░━░━ quota 12
         │    ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄ ░ ░ ░ ░ ░ ░ ░ ░ ░
       8 ┤    █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
         │╌╌╌╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌█╌░╌░╌░╌░╌░╌░╌░╌░╌░╌ 50 %
       4 ┤    █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
         │    █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ █ ░ ░ ░ ░ ░ ░ ░ ░ ░
       0 └────────────────────────────────────────────────────────
              02-03 02-06 02-09 02-12 02-15 02-18 02-21 02-24

      Quotas of 2026-02
      acme-corp  ███████████████████████┊███████████▎··········┃  75 %  9 of 12 events

      Total: 9 events, # B stored
      Projected for the whole month at this pace: 14 events
      Quota of acme-corp: 9 of 12 events used (75 %); alerts at 50 % (reached)
      "
    `);
  });

  test('is ASCII where the terminal says so', async () => {
    const { stdout } = await box.run(['usage', ...FEBRUARY, '--chart'], { env: { LANG: 'C' } });
    expect(stdout).toMatch(/metric +#+ /);
    expect(stdout).toMatch(/^[\n\x20-\x7e]*$/);
  });

  test.each([
    [['--chart', 'luck'], /--chart luck is not a measure; use one of events, bytes/],
    [['--chart', '--json'], /--chart draws for people, and --format json is for programs/],
    [['--format', 'csv', '--chart'], /--format csv is for programs/],
  ])('%j is refused', async (args, words) => {
    const { status, stdout, stderr } = await box.run(['usage', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(words);
  });
});
