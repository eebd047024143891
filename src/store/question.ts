import { usageError } from '../errors.ts';
import type { Question } from './store.ts';

/** The form of an answer: names, types and rows, a JSON array a line. */
export const ANSWER_FORMAT = 'JSONCompactEachRowWithNamesAndTypes';

/**
 * With what a question is asked: integers in full, what JSON has no number for as text, no more rows than asked for;
 * and last, that it only reads, after which none of them can be changed.
 */
export function questionSettings(maxRows: number): [name: string, value: string][] {
  return [
    // A profile may have set it off; answer() asks for its trees.
    ['enable_analyzer', '1'],
    ['output_format_json_quote_64bit_integers', '0'],
    ['output_format_json_quote_decimals', '1'],
    ['output_format_json_quote_denormals', '1'],
    ['limit', String(maxRows)],
    ['readonly', '1'],
  ];
}

/** Runs one statement with these settings; returns what it printed. */
type Run = (sql: string, params: Question['params']) => Promise<string>;

/**
 * Answers a question that only reads. `readonly` refuses changes, settings and what reads files or other servers as
 * tables; what it lets pass (KILL, SYSTEM, INTO OUTFILE, and functions that read files) is told by the engine's own
 * parser, before anything is run.
 * @throws InfrasageError (exit 2) where it is more than that
 */
export async function answer(run: Run, { sql, params }: Question): Promise<string> {
  // One statement, written by the engine from what it has understood: what is looked at is what is run.
  const [[statement = ''] = []] = rowsOf(await run(FORMATTED, { sql }));
  if (!SHOW.test(statement) && !(await isPlainSelect(run, statement, params))) {
    throw usageError(
      'infrasage sql takes a SELECT, SHOW, DESCRIBE or EXPLAIN and nothing else',
      'one of them at a time; --format says how rows are printed, in place of FORMAT and INTO OUTFILE',
    );
  }
  return run(statement, params);
}

const FORMATTED = 'SELECT formatQuerySingleLine({sql:String})';

/**
 * Functions that reach beyond the tables: files, models, other machines. Looked for wherever a tree can have them:
 * an alias, which stands before a function's name, may hold anything, and a bare name is one too: arrayMap(file, …).
 */
const REACHING = /\b(?:function_name|identifier): (file|catboostEvaluate|ai[A-Z]\w*)(?![\w.])/;

/** Whether it can stand where a table can, which only a SELECT and an EXPLAIN do, and calls nothing that reaches out. */
async function isPlainSelect(run: Run, statement: string, params: Question['params']): Promise<boolean> {
  let tree: string;
  try {
    tree = await run(`EXPLAIN QUERY TREE run_passes = 0 SELECT * FROM (${statement})`, params);
  } catch (error) {
    if (isSyntaxError(error)) return false;
    throw error;
  }
  for (const [node = ''] of rowsOf(tree)) {
    const [, name] = REACHING.exec(node) ?? [];
    if (name !== undefined) throw usageError(`infrasage sql reads tables, and ${name}() more than that`);
  }
  return true;
}

/** What shows what there is, by names alone, as the engine writes it. */
const SHOW = new RegExp(
  String.raw`^(SHOW TABLES|SHOW DATABASES|(SHOW CREATE|DESCRIBE|EXISTS) TABLE (NAME\.)?NAME)$`.replaceAll(
    'NAME',
    '(?:\\w+|`[^`\\\\]+`)',
  ),
);

/** The rows of an answer whose columns are texts. */
function rowsOf(text: string): string[][] {
  return text
    .split('\n')
    .filter(Boolean)
    .slice(2)
    .map((line) => JSON.parse(line) as string[]);
}

const SYNTAX_ERROR = '62';

function isSyntaxError(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && String(cause.code) === SYNTAX_ERROR;
}
