import { InfrasageError } from '../errors.ts';
import type { Check, Data, Finding, Seen, Skipped, Subject } from './check.ts';
import { CHECKS } from './checks/index.ts';

/** What became of one check. */
export interface Result {
  check: string;
  status: 'ok' | 'finding' | 'skipped';
  summary: string;
  findings: readonly Finding[];
  details: Readonly<Record<string, unknown>>;
}

/** No check takes longer, ms: what does not answer is a finding. */
const MOST_MS = 15_000;

/** Makes every check, in order. Never throws for what is wrong with the subject. */
export async function examine(subject: Subject, checks: readonly Check[] = CHECKS): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of checks) results.push(await made(check, subject));
  return results;
}

async function made(check: Check, subject: Subject): Promise<Result> {
  if (subject.fault && check.name !== 'settings')
    return result(check, { skipped: 'the settings cannot be read' });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Seen>((resolve) => {
    timer = setTimeout(
      () => resolve(failed({ message: `no answer in ${MOST_MS / 1000} seconds`, hint: '' })),
      MOST_MS,
    );
  });
  try {
    return result(check, await Promise.race([check.run(subject), late]));
  } catch (error) {
    return result(
      check,
      failed(
        error instanceof InfrasageError
          ? error
          : { message: error instanceof Error ? error.message : String(error), hint: '' },
      ),
    );
  } finally {
    clearTimeout(timer);
  }
}

function failed({ message, hint }: Pick<InfrasageError, 'message' | 'hint'>): Seen {
  const fix = hint || 'infrasage doctor --debug';
  return { summary: 'could not be looked at', findings: [{ code: 'failed', message, fix }] };
}

function result({ name }: Check, seen: Seen | Skipped): Result {
  if ('skipped' in seen)
    return { check: name, status: 'skipped', summary: seen.skipped, findings: [], details: {} };
  const { summary, findings = [], details = {} } = seen;
  return { check: name, status: findings.length > 0 ? 'finding' : 'ok', summary, findings, details };
}

/** Opens the data once, however often it is asked for. */
export function openingOnce(open: () => Promise<Data>): {
  data: () => Promise<Data>;
  close: () => Promise<void>;
} {
  let opened: Promise<Data> | undefined;
  return {
    data: () => {
      opened ??= open();
      return opened;
    },
    async close() {
      const data = await opened?.catch(() => undefined);
      if (data?.kind === 'server') await data.server.close();
      if (data?.kind === 'embedded') await data.store.close();
    },
  };
}
