import { EXIT, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { parseMonth } from '../period.ts';
import { PAGE_MARK, renderPage } from '../render/page.ts';
import { formatBytes, plural } from '../render/text.ts';
import { monthReport, monthReportJson } from '../reports/month.ts';
import { type CommandModule, examples, refuseExcess } from './command.ts';
import { outputFile, replaceFile } from './output-file.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--month [YYYY-MM]', 'the month, UTC; without a value, the current one')
    .option('--html <file>', 'where the page is written, - for standard output')
    .option('--force', 'replace a file that is no earlier report too');
  const refuse = refuseExcess(command, ([word = '']) =>
    /^\d{4}-\d{2}$/.test(word) ? `infrasage report --month ${word} --html report.html` : undefined,
  );
  examples(command, [
    'infrasage report --month --html report.html',
    'infrasage report --month 2026-10 --tenant acme-corp --html acme.html',
  ]);
  act<{ month?: string | true; html?: string; force?: boolean }>(command, async (context, options) => {
    refuse();
    const { html: file, force = false } = options;
    if (options.month === undefined || file === undefined) {
      throw usageError(
        `report needs the ${options.month === undefined ? 'month' : 'file'}`,
        'infrasage report --month --html report.html',
      );
    }
    const month = parseMonth(options.month === true ? undefined : options.month, context.now);
    const output = file === '-' ? undefined : await outputFile(file, { mark: PAGE_MARK, force });
    const tenantId = context.config.tenant ?? null;
    const store = await context.store();
    const found = await monthReport(store, { tenantId, month, now: context.now });
    const events = found.bill.total.total_events;
    await sayIfUnknown(context, { store, tenantId, events });
    const page = renderPage(monthReportJson(found));
    if (!output) {
      await write(context.io.stdout, page);
      return EXIT.ok;
    }
    await replaceFile(output, page);
    const { total_events, total_bytes } = found.bill.total;
    const cells = {
      file,
      tenant_id: tenantId,
      month: month.name,
      total_events,
      total_bytes,
      file_bytes: Buffer.byteLength(page),
    };
    return context.print({
      data: cells,
      rows: context.config.format === 'table' ? [] : [cells],
      columns: [
        { key: 'file', title: 'File', kind: 'text', whole: true },
        { key: 'tenant_id', title: 'Tenant', kind: 'text' },
        { key: 'month', title: 'Month (UTC)', kind: 'text' },
        { key: 'total_events', title: 'Events', kind: 'count' },
        { key: 'total_bytes', title: 'Stored bytes', kind: 'bytes' },
        { key: 'file_bytes', title: 'Size', kind: 'bytes' },
      ],
      notes: [
        `Usage of ${tenantId ?? 'all tenants'}, ${month.name}: ${plural(total_events, 'event')}, ${formatBytes(total_bytes)} stored`,
        `Written to ${file} (${formatBytes(cells.file_bytes)}): one page that needs nothing else; open it in a browser, or print it.`,
      ],
    });
  });
};
