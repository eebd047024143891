/** How a run was called, and where it works, as its flags said. */
export interface Place {
  /** What called the program; `infrasage` where it is not said. */
  program?: string;
  config?: string;
  clickhouse?: string;
  dataDir?: string;
  database?: string;
  tenant?: string;
}

const PROGRAM = 'infrasage';

/** What calls the program as this run was called. npx and npm's scripts find it where the shell does not. */
export function calledAs(env: Readonly<Record<string, string | undefined>>): string {
  return env.npm_command === undefined ? PROGRAM : `npx ${PROGRAM}`;
}

/** A command line that works where this run does: the flags that said where are repeated, and can be pasted. */
export function commandLine(words: string, place: Place): string {
  return [place.program ?? PROGRAM, words, ...flagsOf(place, words)].join(' ');
}

/** What is done for all tenants at once, or is about none: some of it refuses to be given one. */
const OF_ALL_TENANTS = /^(billing (close|reopen|history)|plans (apply|list|show)|dlq show)\b/;

/** The same of words that have command lines among them. A flag that they speak of themselves is left to them. */
export function hintFor(hint: string, commands: readonly string[], place: Place): string {
  const { tenant: _, ...everybody } = place;
  return hint.replace(named(commands), (_, words: string) => {
    const flags = flagsOf(OF_ALL_TENANTS.test(words) ? everybody : place, hint);
    return [place.program ?? PROGRAM, ...flags, ''].join(' ');
  });
}

/** Whether words name a command to run. */
export function namesCommand(words: string, commands: readonly string[]): boolean {
  return named(commands).test(words);
}

function named(commands: readonly string[]): RegExp {
  return new RegExp(`\\b(?:npx )?${PROGRAM} (?=((?:${commands.join('|')})\\b.*))`, 'g');
}

/** The flags of a place, but those that are among the words. */
function flagsOf({ config, clickhouse, dataDir, database, tenant }: Place, words: string): string[] {
  const flags = [
    ['--config', config],
    ['--clickhouse', clickhouse === undefined ? undefined : withoutPassword(clickhouse)],
    ['--data-dir', dataDir],
    ['--database', database],
    ['--tenant', tenant],
  ] as const;
  return flags.flatMap(([flag, value]) =>
    value === undefined || new RegExp(`(^| )${flag}(?![\\w-])`).test(words)
      ? []
      : [`${flag} ${shellWord(value)}`],
  );
}

/** One word of a shell, whatever is in it: what is named in a command line to be pasted may be anybody's. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A password is said nowhere; who pastes the line types it, or has it in the environment. */
function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password === '') return url;
    parsed.password = '';
    return parsed.href;
  } catch {
    return '<url>';
  }
}
