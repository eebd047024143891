/** The JSON Schemas of what commands print, by file name. */
export function schemas(): Record<string, object>;
/** A schema as its file has it. */
export function textOf(schema: object): string;
