/** Output formats of every report; `--format` takes these. */
export const FORMATS = ['table', 'json', 'ndjson', 'csv', 'markdown'] as const;

/** Formats that one command alone has, by that command; it says so in its ActOptions. */
export const OWN_FORMATS = { 'focus-csv': 'costs' } as const;
export type OwnFormat = keyof typeof OWN_FORMATS;
export type Format = (typeof FORMATS)[number] | OwnFormat;

/** Every word that `--format` may be. */
export const ALL_FORMATS: readonly Format[] = [...FORMATS, ...(Object.keys(OWN_FORMATS) as OwnFormat[])];

export function isOwnFormat(format: Format): format is OwnFormat {
  return format in OWN_FORMATS;
}
