import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { shellWord } from '../../settings/place.ts';
import type { Check, Finding } from '../check.ts';

/** The data directory: there, of this user, closed to others, writable. */
export const dataDirectory: Check = {
  name: 'data_directory',
  async run({ config: { dataDir, clickhouse } }) {
    const found = look(dataDir);
    const details = { path: dataDir };
    if (found === undefined) {
      // With a server, it has nothing but what is under way, and is made when there is some.
      if (clickhouse) return { summary: `${dataDir}: not there yet`, details };
      const finding = {
        code: 'no_directory',
        message: `there is no data directory ${dataDir}`,
        fix: `infrasage init --data-dir ${shellWord(dataDir)}`,
      };
      return { summary: 'not there', findings: [finding], details };
    }
    if (!('mode' in found)) {
      const finding = {
        code: 'unreadable_directory',
        message: `the data directory ${dataDir} cannot be looked at (${found.fault})`,
        fix: `infrasage init --data-dir DIR, with a directory of this user`,
      };
      return { summary: 'cannot be looked at', findings: [finding], details };
    }
    const owner = found.uid;
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    const findings = found.isDirectory()
      ? faultsOf(dataDir, found)
      : [
          {
            code: 'no_directory',
            message: `${dataDir} is not a directory`,
            fix: 'give a directory with --data-dir',
          },
        ];
    return {
      summary: `${dataDir}: mode ${mode}, owner ${owner === process.getuid?.() ? userInfo().username : owner}`,
      findings,
      details: { ...details, mode, owner_uid: owner },
    };
  },
};

function look(path: string): Stats | { fault: string } | undefined {
  try {
    return statSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    return code === 'ENOENT' ? undefined : { fault: code };
  }
}

function faultsOf(dataDir: string, { mode, uid }: Stats): Finding[] {
  const me = process.getuid?.();
  const findings: Finding[] = [];
  if (me !== undefined && uid !== me) {
    findings.push({
      code: 'other_owner',
      message: `the data directory ${dataDir} belongs to another user (${uid})`,
      fix: `sudo chown -R ${me} ${shellWord(dataDir)}`,
    });
  }
  if ((mode & 0o077) !== 0) {
    findings.push({
      code: 'open_to_others',
      message: `others may look into the data directory ${dataDir}`,
      fix: `chmod 700 ${shellWord(dataDir)}`,
    });
  }
  try {
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    findings.push({
      code: 'not_writable',
      message: `this user may not write to the data directory ${dataDir}`,
      fix: `chmod u+rwx ${shellWord(dataDir)}`,
    });
  }
  return findings;
}
