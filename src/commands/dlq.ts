import { z } from 'zod';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { type ContractOptions, ERROR_CODES, EVENT_TYPES, explain } from '../ingest/contract.ts';
import { isoTime, parseMoment } from '../period.ts';
import type { Row } from '../render/report.ts';
import { excerpt, formatCount, plural } from '../render/text.ts';
import { type DeadLetter, findLetter, listLetters } from '../reports/dead-letters.ts';
import { PLAIN_LINES } from '../store/store.ts';
import { parseLimit } from './amounts.ts';
import { type CommandModule, examples, oneOf } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage dlq list',
    'infrasage dlq list --error invalid_json --since 24h',
    'infrasage dlq show 3fa9c1d20b7e.1-17',
  ]);
  const list = command
    .command('list')
    .description('List dead letters, newest first.')
    .addOption(oneOf('--error <code>', 'only this error code', ERROR_CODES))
    .option('--since <time>', 'only those received since: a span, a date, or RFC 3339')
    .option('--limit <rows>', 'print this many', '20');
  act<{ error?: string; since?: string; limit: string }>(list, async (context, { error, since, limit }) => {
    if (error !== undefined && !ERROR_CODES.some((code) => code === error)) {
      throw usageError(`--error ${error} is not an error code`, `use one of ${ERROR_CODES.join(', ')}`);
    }
    const rows = parseLimit(limit);
    const { letters, total } = await listLetters(await context.store(), {
      tenantId: context.config.tenant ?? null,
      error: error ?? null,
      since: since === undefined ? null : parseMoment(since, '--since', context.now),
      limit: rows,
    });
    const shown = BigInt(letters.length);
    if (total > shown && context.config.format !== 'table') {
      await context.say(`${shown} of ${total} dead letters; raise --limit to see them all`);
    }
    return context.print({
      data: { total, letters: letters.map(letterCells) },
      rows: letters.map(letterCells),
      columns: LIST_COLUMNS,
      notes:
        total === 0n
          ? ['No dead letters.']
          : [
              total > shown
                ? `${formatCount(shown)} of ${plural(total, 'dead letter')}; --limit shows more.`
                : plural(total, 'dead letter'),
              'Why one was rejected, in full: infrasage dlq show ID',
            ],
    });
  });
  const show = command
    .command('show <id>')
    .description('Show a dead letter: its exact bytes, and every rule it breaks.');
  act<object, [string]>(show, async (context, _, id) => {
    const found = await findLetter(await context.store(), id);
    if (!found) {
      throw new InfrasageError(`there is no dead letter ${id}`, {
        hint: 'see infrasage dlq list',
        exitStatus: EXIT.usage,
      });
    }
    const { letter } = found;
    const violations = explain(letter.raw, contractOptions(found));
    const cells = letterCells(letter);
    // A line that was cut cannot be judged again: what it was rejected for is known.
    const reasons = letter.error === 'line_too_long' ? [] : violations;
    return context.print({
      data: {
        ...cells,
        ...(isUtf8(letter.raw)
          ? { raw: letter.raw.toString() }
          : { raw: null, raw_base64: letter.raw.toString('base64') }),
        violations: reasons,
      },
      rows: reasons.map(({ code, path, found: value, expected }) => ({ code, path, found: value, expected })),
      columns: [
        { key: 'code', title: 'Rule', kind: 'text', whole: true },
        { key: 'path', title: 'Where', kind: 'text' },
        { key: 'found', title: 'Found', kind: 'text' },
        { key: 'expected', title: 'Expected', kind: 'text' },
      ],
      wrap: true,
      title: `Dead letter ${letter.id}: ${letter.message}`,
      notes: [
        `Source: ${letter.source === '-' ? 'standard input' : letter.source}, line ${formatCount(letter.line)}, received ${isoTime(letter.receivedAt)}`,
        ...(letter.tenantId ? [`Tenant: ${letter.tenantId}`] : []),
        `As sent (${plural(letter.raw.length, 'byte')}): ${excerpt(letter.raw.toString(), 2000)}`,
      ],
    });
  });
};

const LIST_COLUMNS = [
  { key: 'id', title: 'Id', kind: 'text', whole: true },
  { key: 'error', title: 'Error', kind: 'text', whole: true },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'source', title: 'Source', kind: 'text' },
  { key: 'line', title: 'Line', kind: 'count' },
  { key: 'excerpt', title: 'As sent', kind: 'text' },
] as const;

function letterCells(letter: DeadLetter): Row {
  return {
    id: letter.id,
    received_at: isoTime(letter.receivedAt),
    tenant_id: letter.tenantId || null,
    error: letter.error,
    message: letter.message,
    source: letter.source,
    line: letter.line,
    excerpt: excerpt(letter.raw.toString(), 60),
  };
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes);
}

const recordedOptions = z.object({
  tenant: z.string().nullable(),
  defaultType: z.enum(EVENT_TYPES).nullable(),
  strict: z.boolean(),
  assumeUtc: z.boolean(),
  maxAgeSeconds: z.number().nullable(),
  maxLine: z.number(),
});

/** What the line was validated with, from its batch's ledger row. */
function contractOptions({
  letter,
  options: recorded,
  boundTo,
}: NonNullable<Awaited<ReturnType<typeof findLetter>>>): ContractOptions {
  const options = recorded === undefined ? PLAIN_LINES : recordedOptions.parse(JSON.parse(recorded));
  return {
    tenant: boundTo ?? options.tenant ?? undefined,
    tenantBound: boundTo !== null,
    defaultType: options.defaultType ?? undefined,
    strict: options.strict,
    assumeUtc: options.assumeUtc,
    maxAgeMs: options.maxAgeSeconds === null ? undefined : options.maxAgeSeconds * 1000,
    maxLine: options.maxLine,
    receivedAt: letter.receivedAt,
  };
}
