/** The whole man page, from the program as it is built. */
export function manPage(): Promise<string>;
