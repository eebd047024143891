import { DEFAULTS, defaultDataDir, type GlobalFlags } from '../config.ts';
import type { Context } from '../context.ts';
import type { Subject } from '../doctor/check.ts';
import { examine, openingOnce, type Result } from '../doctor/doctor.ts';
import { EXIT } from '../errors.ts';
import type { Report } from '../render/report.ts';
import { plural } from '../render/text.ts';
import { type ShownSetting, shownSettings } from '../settings/layers.ts';
import { type CommandModule, examples } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--offline', 'connect to nothing but the ClickHouse server: no mail server, no webhook')
    .option('--settings', 'show every setting in force, and where it comes from');
  examples(command, ['infrasage doctor', 'infrasage doctor --settings --offline', 'infrasage doctor --json']);
  act<{ offline?: boolean; settings?: boolean }>(
    command,
    async (context, { offline = false, settings = false }) => {
      const shown = settingsInForce(context);
      const opened = openingOnce(() => context.dataToLookAt());
      const subject: Subject = {
        config: context.config,
        settings: context.settings,
        shown,
        fault: context.fault,
        env: context.io.env,
        now: context.io.now,
        offline,
        data: opened.data,
      };
      try {
        const results = await examine(subject);
        await context.print(doctorReport(results, settings ? shown : []));
        return results.some(({ status }) => status === 'finding') ? EXIT.finding : EXIT.ok;
      } finally {
        await opened.close();
      }
    },
    { brokenSettings: true },
  );
};

/** The flag of each global option that is a setting. */
const FLAGS: Partial<Record<keyof GlobalFlags, string>> = {
  clickhouse: '--clickhouse',
  retryFor: '--retry-for',
  dataDir: '--data-dir',
  database: '--database',
  tenant: '--tenant',
  format: '--format',
};

function settingsInForce({ flags, settings, config }: Context): ShownSetting[] {
  const given = Object.entries(FLAGS).flatMap(([name, flag]) => {
    const value = flags[name as keyof GlobalFlags];
    return typeof value === 'string' ? [[flag, value] as const] : [];
  });
  const json = flags.json ? [['--format', 'json'] as const] : [];
  const { 'clickhouse.user': user, 'clickhouse.retry_for': retryFor, ...own } = DEFAULTS;
  const ofServer = config.clickhouse && {
    'clickhouse.retry_for': retryFor,
    // Where the URL names one, it is shown with that.
    ...(config.clickhouse.user === user && { 'clickhouse.user': user }),
  };
  const defaults = { data_dir: defaultDataDir(settings.env), ...own, ...ofServer };
  return shownSettings(settings, { flags: new Map([...given, ...json]), defaults });
}

function doctorReport(results: readonly Result[], settings: readonly ShownSetting[]): Report {
  const findings = results.flatMap((result) => result.findings.map((one) => ({ ...result, ...one })));
  return {
    data: {
      ok: findings.length === 0,
      checks: results.map(({ check, status, summary, findings: found, details }) => ({
        name: check,
        status,
        summary,
        findings: found,
        details,
      })),
    },
    rows: results.map(({ check, status, summary }) => ({ check, status, summary })),
    columns: [
      { key: 'check', title: 'Check', kind: 'text', whole: true },
      { key: 'status', title: 'Is', kind: 'text', whole: true },
      { key: 'summary', title: 'What', kind: 'text' },
    ],
    wrap: true,
    notes: [
      ...settings.map(({ name, value, source }) => `${name} = ${value}   (${source})`),
      ...(settings.length > 0 ? [''] : []),
      ...findings.flatMap(({ check, message, fix }) => [`${check}: ${message}`, `  ${fix}`]),
      findings.length === 0 ? 'Nothing is wrong.' : `${plural(findings.length, 'finding')}.`,
    ],
  };
}
