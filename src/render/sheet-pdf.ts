import pdfmake, { type Content, type CustomTableLayout, type TableCell } from 'pdfmake';
import { type Fonts, MAIN_FONT, openFonts } from './pdf-fonts.ts';
import { isLong, type Pair, type Paper, type Sheet } from './sheet.ts';
import { printable } from './text.ts';

const MM = 72 / 25.4;
const BLACK = '#111111';
const GREY = '#555555';
const LINE = '#cccccc';
/** Left and right, and at the top. */
const MARGIN = 16 * MM;
/** As pdfmake calls it, and how wide it is. */
const SIZES: Record<Paper, { name: 'A4' | 'LETTER'; width: number }> = {
  a4: { name: 'A4', width: 210 * MM },
  letter: { name: 'LETTER', width: 8.5 * 72 },
};

export interface SheetsPdf {
  pdf: Buffer;
  /** Characters that no font has a sign for: `U+05E9`, each once. They are in the PDF under these names. */
  missing: string[];
}

/**
 * Sheets as a PDF, each on pages of its own: the lines and figures of renderSheetsHtml. The same sheets make the same
 * bytes, wherever and whenever. What no font has a sign for is written as its code point, `[U+05E9]`: nothing vanishes.
 * @param options.madeAt in the file's own data
 * @param options.fonts files of fonts, for characters that are neither Latin, Greek nor Cyrillic
 * @throws InfrasageError (exit 2) where one is no font
 */
export async function renderSheetsPdf(
  sheets: readonly Sheet[],
  { paper, madeAt, fonts: files }: { paper: Paper; madeAt: Date; fonts: readonly string[] },
): Promise<SheetsPdf> {
  const fonts = openFonts(files);
  const missing = new Set<string>();
  // Spaces in a row are one, as in HTML: pdfmake breaks no line among them.
  const runs = (value: string) => runsOf(printable(value).replace(/ {2,}/g, ' '), fonts, missing);
  pdfmake.setFonts(fonts.descriptors);
  // It reads its fonts, and nothing else: no text is an address or a file.
  pdfmake.setUrlAccessPolicy(() => false);
  pdfmake.setLocalAccessPolicy((path) => fonts.files.has(path));
  const [first] = sheets;
  const pdf = await pdfmake
    .createPdf({
      pageSize: SIZES[paper].name,
      pageMargins: [MARGIN, MARGIN, MARGIN, 20 * MM],
      info: {
        title: first ? printable(`${first.kind} ${sheets.length === 1 ? first.name : ''}`).trim() : '',
        creationDate: madeAt,
      },
      defaultStyle: { font: MAIN_FONT, fontSize: 9, lineHeight: 1.15, color: BLACK },
      footer: (page, pages) => ({
        text: `${page} / ${pages}`,
        alignment: 'right',
        margin: [0, 6 * MM, MARGIN, 0],
        ...{ fontSize: 8, color: GREY },
      }),
      content: sheets.map((sheet, i) => ({
        ...(i > 0 && { pageBreak: 'before' as const }),
        stack: [heading(sheet, runs), rule(SIZES[paper].width - 2 * MARGIN), ...body(sheet, runs)],
      })),
    })
    .getBuffer();
  return { pdf, missing: [...missing] };
}

/** Text in pieces, each in a font that has it; break-all: may be broken between any two characters. */
interface Run {
  text: string;
  font: string;
  wordBreak: 'normal' | 'break-all';
}
type Runs = (value: string) => Run[];

function runsOf(text: string, { fontOf }: Fonts, missing: Set<string>): Run[] {
  const runs: Run[] = [];
  for (const word of text.split(/(?<= )/)) {
    for (const character of word) {
      const point = character.codePointAt(0) ?? 0;
      const name = `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
      const has = fontOf(point);
      if (has === undefined) missing.add(name);
      const font = has ?? MAIN_FONT;
      const shown = has === undefined ? `[${name}]` : character;
      // pdfmake breaks between UTF-16 units: what is two of them must not be broken.
      const isPair = shown.length === 2;
      const wordBreak = isLong(word) && !isPair ? 'break-all' : 'normal';
      const last = runs.at(-1);
      // A space has a sign in every font: words of another script stay together.
      const fits = last?.wordBreak === wordBreak && (last.font === font || character === ' ');
      if (last && fits) last.text += shown;
      else runs.push({ text: shown, font, wordBreak });
    }
  }
  return runs;
}

function heading({ kind, name, facts }: Sheet, runs: Runs): Content {
  return {
    columns: [
      {
        width: '*',
        stack: [
          { text: runs(kind.toUpperCase()), color: GREY },
          { text: runs(name), fontSize: 17, bold: true, lineHeight: 1.1 },
        ],
      },
      {
        width: '45%',
        layout: TIGHT,
        table: {
          widths: ['auto', '*'],
          body: facts.map(([what, value]): TableCell[] => [
            { text: runs(what), color: GREY },
            { text: runs(value) },
          ]),
        },
      },
    ],
    columnGap: 8 * MM,
  };
}

/** A line across the page; a new one for each, as pdfmake moves them. */
function rule(width: number): Content {
  return {
    canvas: [{ type: 'line', x1: 0, y1: 0, x2: width, y2: 0, lineWidth: 1.5, lineColor: BLACK }],
    margin: [0, 3 * MM, 0, 6 * MM],
  };
}

function body(sheet: Sheet, runs: Runs): Content[] {
  return [
    ...(sheet.rows.length === 0 ? [] : [lines(sheet, runs)]),
    totals(sheet.totals, runs),
    ...sheet.notes.map((note): Content => ({ text: runs(note), fontSize: 8.5, color: GREY })),
  ];
}

/** Characters of a cell that fit on a page, however narrow its column is. */
const FITS_A_PAGE = 300;

/**
 * The lines of a sheet; the row of titles is repeated on each page, and no row is broken. Where one might be longer
 * than a page they all may be: pdfmake leaves out what is kept together and fits on no page.
 */
function lines({ columns, rows }: Sheet, runs: Runs): Content {
  const whole = rows.every((row) => row.every((value) => value.length <= FITS_A_PAGE));
  const cell = (value: string, i: number, style: { bold?: boolean }): TableCell => {
    const align = columns[i]?.align ?? 'left';
    return { text: runs(value), alignment: align, noWrap: align === 'right' && !isLong(value), ...style };
  };
  return {
    table: {
      headerRows: 1,
      dontBreakRows: whole,
      keepWithHeaderRows: whole ? 1 : 0,
      widths: columns.map(({ align, whole }) => (align === 'right' || whole ? 'auto' : '*')),
      body: [
        columns.map(({ title }, i) => cell(title, i, { bold: true })),
        ...rows.map((row) => row.map((value, i) => cell(value, i, {}))),
      ],
    },
    layout: RULED,
  };
}

function totals(all: readonly Pair[], runs: Runs): Content {
  const last = all.length - 1;
  return {
    unbreakable: true,
    margin: [0, 5 * MM, 0, 8 * MM],
    columns: [
      { width: '*', text: '' },
      {
        width: 'auto',
        layout: {
          ...TIGHT,
          hLineWidth: (i) => (i === last ? 0.75 : 0),
          paddingTop: (i) => (i === last ? MM : 0.5 * MM),
        },
        table: {
          body: all.map(([what, value], i): TableCell[] => {
            const style = i === last ? { bold: true, fontSize: 12 } : {};
            return [
              { text: runs(what), color: i === last ? BLACK : GREY, ...style },
              { text: runs(value), alignment: 'right', noWrap: true, ...style },
            ];
          }),
        },
      },
    ],
  };
}

/** Rows close to each other, without lines. */
const TIGHT: CustomTableLayout = {
  hLineWidth: () => 0,
  vLineWidth: () => 0,
  paddingLeft: (i) => (i === 0 ? 0 : 5 * MM),
  paddingRight: () => 0,
  paddingTop: () => 0.5 * MM,
  paddingBottom: () => 0.5 * MM,
};

/** A line below each row. */
const RULED: CustomTableLayout = {
  hLineWidth: (i) => (i === 0 ? 0 : i === 1 ? 0.75 : 0.5),
  hLineColor: (i) => (i === 1 ? BLACK : LINE),
  vLineWidth: () => 0,
  paddingLeft: (i) => (i === 0 ? 0 : 2 * MM),
  paddingRight: (i, { table }) => (i === (table.widths?.length ?? 0) - 1 ? 0 : 2 * MM),
  paddingTop: () => 1.2 * MM,
  paddingBottom: () => 0.8 * MM,
};
