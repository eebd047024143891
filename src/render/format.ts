/** Output formats of every report; `--format` takes these. */
export const FORMATS = ['table', 'json', 'ndjson', 'csv', 'markdown'] as const;

/** Formats that one command alone has, by that command. */
export const OWN_FORMATS = { 'focus-csv': 'costs', html: 'billing', pdf: 'billing' } as const;
export type OwnFormat = keyof typeof OWN_FORMATS;
export type Format = (typeof FORMATS)[number] | OwnFormat;

/** Those that are pages to print, which no report is: see sheet.ts. */
export const PAGE_FORMATS = ['html', 'pdf'] as const satisfies readonly OwnFormat[];
export type PageFormat = (typeof PAGE_FORMATS)[number];

export function isPageFormat(format: Format): format is PageFormat {
  return (PAGE_FORMATS as readonly Format[]).includes(format);
}

/** What `--format` may be for a command. @param command its words, without the program's name: `alerts add` */
export function formatsOf(command: string): readonly Format[] {
  const own = Object.keys(OWN_FORMATS) as OwnFormat[];
  return [...FORMATS, ...own.filter((format) => OWN_FORMATS[format] === command)];
}

/** Every word that `--format` may be. */
export const ALL_FORMATS: readonly Format[] = [...FORMATS, ...(Object.keys(OWN_FORMATS) as OwnFormat[])];

export function isOwnFormat(format: Format): format is OwnFormat {
  return format in OWN_FORMATS;
}
