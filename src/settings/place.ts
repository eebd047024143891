/** Where a run works, as its flags said. */
export interface Place {
  config?: string;
  clickhouse?: string;
  dataDir?: string;
  database?: string;
  tenant?: string;
}

/** A command line that works where this run does: the flags that said where are repeated, and can be pasted. */
export function commandLine(words: string, place: Place): string {
  const { config, clickhouse, dataDir, database, tenant } = place;
  const flags = [
    ['--config', config],
    ['--clickhouse', clickhouse === undefined ? undefined : withoutPassword(clickhouse)],
    ['--data-dir', dataDir],
    ['--database', database],
    ['--tenant', / --tenant\b/.test(words) ? undefined : tenant],
  ].flatMap(([flag, value]) => (value === undefined ? [] : [`${flag} ${quoted(value)}`]));
  return ['infrasage', words, ...flags].join(' ');
}

/** The same of a hint, which has command lines among its words; where it speaks of --tenant itself, that is left to it. */
export function hintFor(hint: string, commands: readonly string[], place: Place): string {
  const { tenant, ...others } = place;
  const flags = commandLine('', / --tenant\b/.test(hint) ? others : place).slice('infrasage '.length);
  if (flags.trim() === '') return hint;
  const line = new RegExp(`\\binfrasage (?=(?:${commands.join('|')})\\b)`, 'g');
  return hint.replace(line, `infrasage${flags} `);
}

/** One word of a shell. */
function quoted(word: string): string {
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
