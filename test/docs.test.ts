import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signature } from '../src/alerts/channels/webhook.ts';
import type { Firing } from '../src/alerts/firings.ts';
import { firingJson, subject } from '../src/alerts/message.ts';
import { asWritten, type Place, place } from './helpers/document-place.ts';
import { type Setting, settingsOf } from './helpers/document-settings.ts';
import {
  blocksOf,
  COMMANDS,
  documentText,
  isAsShown,
  isReadBy,
  missingScripts,
  namedIn,
  ownCommand,
  pages,
  parse,
  type Step,
  shape,
  stepsOf,
} from './helpers/documents.ts';

/*
 * Every command that a page shows is run here, in the order of the page, and prints what is shown; or it is in the
 * list of those that are not, with why.
 */

/** What is not run here. */
const NOT_RUN: { page?: string; command?: RegExp; why: string; check(step: Step): unknown }[] = [
  {
    command: /^npm (?!install\n)/,
    why: 'installs, builds and tests the checkout, from which the tests run',
    check: ({ command }) => expect(missingScripts(command)).toEqual([]),
  },
  {
    page: 'docs/clickhouse-server.md',
    why: 'takes a server and a cluster: test/clickhouse-server.docs.test.ts runs the whole page',
    async check({ command }) {
      expect(isReadBy('test/clickhouse-server.docs.test.ts', 'docs/clickhouse-server.md')).toBe(true);
      const own = ownCommand(command);
      if (own) await parse(own.args);
      else expect(command).toBe('export INFRASAGE_CLICKHOUSE_URL=http://localhost:8123');
    },
  },
];

const notRun = (page: string, { command }: Step) =>
  NOT_RUN.find((one) => (one.page ?? page) === page && (one.command?.test(command) ?? true));

/**
 * The clock of what runs in this process: the 24th of a month at 16:00, the next there is. So a month has always had
 * as many days, and a day as many hours. It is ahead, since a clock behind loses the batches of the metering.
 */
const NOW = next24th(new Date());

function next24th(now: Date): Date {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const this24th = new Date(Date.UTC(year, month, 24, 16));
  return this24th > now ? this24th : new Date(Date.UTC(year, month + 1, 24, 16));
}

/** A command of a page by what is written there; `$ ` where what it prints is shown. */
const titleOf = ({ command, shown }: Step) => (shown === undefined ? command : `$ ${command}`);

/** The parts of a page, each with what its commands find, and its steps. */
function partsOf(page: string): { setting: Setting; steps: Step[] }[] {
  const parts = settingsOf(page).map((setting) => ({ setting, steps: [] as Step[] }));
  let at = parts[0];
  for (const step of stepsOf(documentText(page))) {
    at = parts.find(({ setting }) => setting.from === step.heading) ?? at;
    at?.steps.push(step);
  }
  return parts;
}

const withSteps = pages().filter((page) => stepsOf(documentText(page)).length > 0);

describe.each(withSteps)('%s', (page) => {
  for (const { setting, steps } of partsOf(page)) {
    const run = steps.filter((step) => !notRun(page, step));
    describe.skipIf(run.length === 0)(setting.from ?? 'from its start', () => {
      let here: Place;
      beforeAll(async () => {
        here = place(setting.realClock ? undefined : NOW);
        here.box.file('events.ndjson', await here.events(here.now));
        await setting.given?.(here);
      });
      afterAll(() => here.remove());

      it.each(run.map((step) => ({ title: titleOf(step), ...step })))(
        '$line: $title',
        async ({ title, ...step }) => {
          const { command, shown } = step;
          await setting.before?.[title]?.(here);
          const result = await (setting.instead?.[title]?.(here, step) ??
            here.perform(command, { isShown: shown !== undefined }));
          expect(result, `${page}:${step.line}`).toMatchObject({ status: setting.status?.[title] ?? 0 });
          if (shown !== undefined) expectShown(result, shown, here);
          else if (/^(?:.*\n)*curl /.test(command)) expectAnswer(page, result.stdout);
          await setting.after?.[title]?.(here);
        },
      );
    });
  }

  const others = stepsOf(documentText(page)).flatMap((step) => {
    const found = notRun(page, step);
    return found ? [{ title: titleOf(step), step, ...found }] : [];
  });
  it.runIf(others.length > 0).each(others)('$title is not run: it $why', async ({ step, check }) => {
    await check(step);
  });
});

/** What was printed is what is shown, on both streams or on standard output alone. */
function expectShown({ stdout, stderr }: { stdout: string; stderr: string }, shown: string, here: Place) {
  const ways = [stdout, stdout + stderr, stderr + stdout].map((text) => asWritten(text, here));
  if (ways.some((text) => isAsShown(text, shown))) return;
  expect(shape(ways[1] ?? '').split(' ')).toEqual(shape(shown).split(' '));
  expect.fail(`shown is\n${shown}\nprinted was\n${ways[1]}`);
}

/** The answer is no problem, and has the members of the one that the page shows below the command. */
function expectAnswer(page: string, stdout: string) {
  const answer = JSON.parse(stdout);
  expect(answer).not.toHaveProperty('title');
  const shown = blocksOf(documentText(page)).find(({ language }) => language === 'json');
  if (page === 'README.md') expect(members(answer)).toEqual(members(JSON.parse(shown?.text ?? '')));
}

/** The names in an answer, as deep as they go; of rows, those of the first. */
function members(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(members);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, members(inner)]));
}

/** Languages of blocks that are no commands. */
const OTHERS = ['', 'ini', 'js', 'json', 'ndjson', 'sql', 'yaml'];

it.each(pages())('%s has its commands in blocks that are looked at', (page) => {
  for (const { language, text, line } of blocksOf(documentText(page)))
    if (!COMMANDS.includes(language)) {
      expect(OTHERS, `line ${line}`).toContain(language);
      expect(text, `line ${line}`).not.toMatch(/^(\$ |npx |infrasage )/m);
    }
});

it.each(pages())('%s names commands in its text that there are', async (page) => {
  for (const command of namedIn(documentText(page))) {
    const own = ownCommand(command.replace(/^npx /, ''));
    if (own && !command.includes('…'))
      await expect(parse(own.args, { isWhole: false }), command).resolves.toBeUndefined();
  }
});

describe('what else pages show', () => {
  const shownIn = (page: string, of: string) =>
    blocksOf(documentText(page)).find(({ language }) => language === of)?.text ?? '';

  it('the event of README is one, and its SQL has the figures of usage', async () => {
    const here = place();
    const event = shownIn('README.md', 'ndjson').replace(
      /"timestamp":"[^"]*"/,
      `"timestamp":"${new Date().toISOString()}"`,
    );
    const summary = await here.box.json(['ingest'], { stdin: event });
    const rows = await here.box.sql<{ event_type: string; total_events: number }>(
      shownIn('README.md', 'sql'),
    );
    await here.box.remove();
    expect(summary).toMatchObject({ lines: 1, accepted: 1 });
    expect(rows.map(({ event_type, total_events }) => [event_type, Number(total_events)])).toEqual([
      ['metric', 1],
    ]);
  });

  it('the message of docs/alerts.md is what a webhook is sent', () => {
    const message = JSON.parse(shownIn('docs/alerts.md', 'json'));
    const [shown] = message.alerts;
    const [quota, used] = [BigInt(shown.quota), BigInt(shown.used)];
    const firing: Firing = {
      ...{ id: shown.id, alertId: shown.alert_id, tenantId: shown.tenant_id, digest: message.id },
      ...{ kind: 'usage', firedAt: new Date(shown.fired_at), silence: null },
      ...{ email: null, slack: false, webhook: 'https://hooks.acme.example/usage' },
      usage: { percent: 95, month: '2026-11', dimension: 'events', level: 95n, used, quota },
    };
    expect({ ...firingJson(firing), used: Number(used), quota: Number(quota) }).toEqual(shown);
    expect(subject({ id: message.id, firings: [firing], test: false })).toBe(message.text);
  });

  it('the receiver of docs/alerts.md verifies a signature', async () => {
    const code = encodeURIComponent(shownIn('docs/alerts.md', 'js'));
    const { isFromInfrasage } = (await import(`data:text/javascript,${code}`)) as {
      isFromInfrasage(header: string, body: string, secret: string): boolean;
    };
    const body = '{"id":"1"}';
    const signed = signature(body, { secret: 'key', now: new Date() });
    expect(isFromInfrasage(signed, body, 'key')).toBe(true);
    expect(isFromInfrasage(signed, `${body} `, 'key')).toBe(false);
    expect(isFromInfrasage(signed, body, 'other')).toBe(false);
    const old = signature(body, { secret: 'key', now: new Date(Date.now() - 600_000) });
    expect(isFromInfrasage(old, body, 'key')).toBe(false);
  });
});
