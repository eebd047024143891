import { statSync } from 'node:fs';
import { InfrasageError } from '../../errors.ts';
import { DirectoryInUse } from '../../store/lock.ts';
import type { Check, Finding } from '../check.ts';

/** Whether the data can be opened at all: directory and engine, or address, user and password. */
export const store: Check = {
  name: 'store',
  async run(subject) {
    const { clickhouse, dataDir, database } = subject.config;
    const place = clickhouse ? clickhouse.url.origin : dataDir;
    const details = { place, database };
    // What is there instead, the check before this one says.
    if (!clickhouse && !isDirectory(dataDir)) return { skipped: 'there is no data directory' };
    try {
      await subject.data();
      return { summary: `database ${database} of ${place}`, details };
    } catch (error) {
      if (!(error instanceof InfrasageError)) throw error;
      return { summary: 'cannot be opened', findings: [findingOf(error)], details };
    }
  },
};

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function findingOf(error: InfrasageError): Finding {
  const { message, hint } = error;
  if (error instanceof DirectoryInUse) {
    const { pid, command } = error.holder;
    return {
      code: 'in_use',
      message,
      fix: `wait until infrasage ${command} has finished; kill ${pid} ends it, and nothing is lost by that`,
    };
  }
  return { code: 'not_opened', message, fix: hint || 'infrasage doctor --debug' };
}
