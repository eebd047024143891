import type { Command } from 'commander';
import type { Bill } from '../billing/bill.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitStatus, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { isPageFormat, type PageFormat } from '../render/format.ts';
import { PAPERS, type Paper, type Sheet } from '../render/sheet.ts';
import { formatBytes, plural } from '../render/text.ts';
import { billSheets } from './billing-sheet.ts';
import { oneOf } from './command.ts';
import { fillFile, type OutputFile, outputFile, refuseTerminal } from './output-file.ts';

export interface PageOptions {
  output?: string;
  paper?: string;
  font?: readonly string[];
  force?: boolean;
}

/** The options of a bill as a page to print: --format html or pdf. */
export function pageOptions(command: Command): Command {
  return command
    .option(
      '--output <file>',
      'where the page of --format html or pdf is written; without it, standard output',
    )
    .addOption(oneOf('--paper <size>', 'its paper: a4 (default of a PDF) or letter', PAPERS))
    .option(
      '--font <file>',
      'a font for what in a PDF is neither Latin, Greek nor Cyrillic; may be given more than once',
      (file: string, before: readonly string[] = []) => [...before, file],
    )
    .option('--force', 'replace a file that is there');
}

/** A page that is to be made. */
interface PageWanted {
  format: PageFormat;
  /** undefined: standard output. */
  output: OutputFile | undefined;
  paper: Paper | undefined;
  fonts: readonly string[];
}

/**
 * What page is to be made, and where; undefined where none is. Asked before the store is opened.
 * @throws InfrasageError (exit 2) where the options contradict each other, or it would go to a terminal
 */
export async function pageWanted(
  { output, paper, font, force, chart, explain }: PageOptions & { chart?: unknown; explain?: unknown },
  { config: { format }, io }: Context,
): Promise<PageWanted | undefined> {
  if (!isPageFormat(format)) {
    const alone = firstGiven({ '--output': output, '--paper': paper, '--font': font, '--force': force });
    if (alone) throw usageError(`${alone} goes with --format html or pdf`, PAGE_EXAMPLE);
    return undefined;
  }
  const other = firstGiven({ '--chart': chart, '--explain': explain });
  if (other) throw usageError(`${other} has no page to print`, `leave ${other} or --format ${format} out`);
  if (font && format !== 'pdf')
    throw usageError('--font goes with --format pdf', 'a browser has its own fonts');
  const size = PAPERS.find((one) => one === paper);
  if (paper !== undefined && !size)
    throw usageError(`--paper ${paper} is not a size`, `use one of ${PAPERS.join(', ')}`);
  const toFile = output !== undefined && output !== '-';
  if (!toFile) {
    const page = format === 'pdf' ? 'a PDF is' : 'an HTML page is';
    refuseTerminal(io, page, `name a file: --output bill.${format}`);
  }
  return {
    ...{ format, paper: size, fonts: font ?? [] },
    output: toFile ? await outputFile(output, { force: force ?? false }) : undefined,
  };
}

const PAGE_EXAMPLE = 'infrasage billing --month --format pdf --output bill.pdf';

function firstGiven(options: Record<string, unknown>): string | undefined {
  return Object.keys(options).find((name) => options[name] !== undefined);
}

/** Writes a bill as a page. */
export async function writePage(
  context: Context,
  { output, ...wanted }: PageWanted,
  { its, now }: { its: Bill; now: Date },
): Promise<ExitStatus> {
  const sheets = billSheets(its, now);
  const page = await render(context, sheets, { ...wanted, madeAt: its.found.month.period.end });
  if (!output) {
    await write(context.io.stdout, page);
    return EXIT.ok;
  }
  await fillFile(output, (file) => file.writeFile(page));
  await context.say(
    `written to ${output.path} (${formatBytes(Buffer.byteLength(page))}): ${plural(sheets.length, 'bill')}`,
  );
  return EXIT.ok;
}

async function render(
  context: Context,
  sheets: readonly Sheet[],
  { format, paper, fonts, madeAt }: Omit<PageWanted, 'output'> & { madeAt: Date },
): Promise<string | Buffer> {
  if (format === 'html') return (await import('../render/sheet-html.ts')).renderSheetsHtml(sheets, paper);
  const { renderSheetsPdf } = await import('../render/sheet-pdf.ts');
  const { pdf, missing } = await renderSheetsPdf(sheets, { paper: paper ?? 'a4', madeAt, fonts });
  if (missing.length > 0) await context.say(missingWords(missing));
  return pdf;
}

/** Characters that are named; of more, the number is given. */
const MOST_NAMED = 5;

function missingWords(missing: readonly string[]): string {
  const rest = missing.length - MOST_NAMED;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return `no font has ${missing.slice(0, MOST_NAMED).join(', ')}${more}: written by their code points; --font FILE names a font that has them, and a browser prints the page of --format html`;
}
