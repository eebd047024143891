import { createRequire } from 'node:module';
import * as fontkit from 'fontkit';
import type pdfmake from 'pdfmake';
import { usageError } from '../errors.ts';

const packages = createRequire(import.meta.url);

/** Fonts as pdfmake takes them, by their names, and which of them has the sign for a character. */
export interface Fonts {
  descriptors: Parameters<typeof pdfmake.setFonts>[0];
  /** The files that may be read. */
  files: ReadonlySet<string>;
  /**
   * The name of the first font with a sign for it; undefined where there is none. Nor is there for what is written from
   * right to left: pdfmake sets words from left to right only, and a name in the wrong order is another name.
   */
  fontOf(point: number): string | undefined;
}

/** The font of what is written, which has Latin, Greek and Cyrillic; it comes with pdfmake. */
export const MAIN_FONT = 'Roboto';

/**
 * Roboto, then the fonts of these files: TrueType, OpenType or WOFF; of a collection, its first font.
 * @throws InfrasageError (exit 2) where a file is no font
 */
export function openFonts(paths: readonly string[]): Fonts {
  const [normal, bold] = ['Regular', 'Medium'].map((name) =>
    packages.resolve(`pdfmake/fonts/Roboto/Roboto-${name}.ttf`),
  ) as [string, string];
  const opened = [
    { name: MAIN_FONT, ...signsOf(normal), bold },
    ...paths.map((path, i) => ({ name: `font ${i + 1}`, ...signsOf(path) })),
  ];
  return {
    descriptors: Object.fromEntries(
      opened.map(({ name, source, ...more }) => [
        name,
        { normal: source, bold: 'bold' in more ? more.bold : source },
      ]),
    ),
    files: new Set([bold, normal, ...paths]),
    fontOf: (point) => (isRightToLeft(point) ? undefined : opened.find(({ has }) => has(point))?.name),
  };
}

function signsOf(path: string): { source: string; has: (point: number) => boolean } {
  try {
    const file = fontkit.openSync(path);
    if (!('fonts' in file)) return { source: path, has: (point) => file.hasGlyphForCodePoint(point) };
    const [first] = file.fonts;
    if (!first) throw new Error('there is no font in it');
    // Its types do not know that it takes a font of a collection by its name.
    return {
      source: [path, first.postscriptName] as unknown as string,
      has: (point) => first.hasGlyphForCodePoint(point),
    };
  } catch (error) {
    const isGone = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const reason = isGone ? 'there is no such file' : error instanceof Error ? error.message : String(error);
    throw usageError(`${path} cannot be used as a font: ${reason}`, 'name a .ttf, .otf, .ttc or .woff file');
  }
}

/** The blocks that Unicode keeps for scripts from right to left. */
const RIGHT_TO_LEFT = [
  [0x590, 0x8ff],
  [0xfb1d, 0xfdff],
  [0xfe70, 0xfefe],
  [0x10800, 0x10fff],
  [0x1e800, 0x1efff],
] as const;

function isRightToLeft(point: number): boolean {
  return RIGHT_TO_LEFT.some(([first, last]) => first <= point && point <= last);
}
