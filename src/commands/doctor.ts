import { DEFAULTS, defaultDataDir, type GlobalFlags } from '../config.ts';
import type { Context } from '../context.ts';
import type { Subject } from '../doctor/check.ts';
import { examine, openingOnce, type Result } from '../doctor/doctor.ts';
import { EXIT } from '../errors.ts';
import type { Format } from '../render/format.ts';
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
        const results = (await examine(subject)).map(({ findings, ...result }) => ({
          ...result,
          findings: findings.map(({ fix, ...finding }) => ({ ...finding, fix: context.pasteable(fix) })),
        }));
        const { format } = context.config;
        await context.print(doctorReport(results, { settings: settings ? shown : [], format }));
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

/** The table, whose findings are below it. */
function byCheck(results: readonly Result[]): Pick<Report, 'rows' | 'columns'> {
  return {
    rows: results.map(({ check, status, summary }) => ({ check, status, summary })),
    columns: CHECK_COLUMNS,
  };
}

/** A row a finding, and one for each check without, for formats that have nothing below. */
function byFinding(results: readonly Result[]): Pick<Report, 'rows' | 'columns'> {
  const none = { code: null, message: null, fix: null };
  return {
    rows: results.flatMap(({ check, status, summary, findings }) =>
      (findings.length > 0 ? findings : [none]).map((one) => ({ check, status, summary, ...one })),
    ),
    columns: [
      ...CHECK_COLUMNS,
      { key: 'code', title: 'Finding', kind: 'text' },
      { key: 'message', title: 'In words', kind: 'text' },
      { key: 'fix', title: 'What mends it', kind: 'text' },
    ],
  };
}

const CHECK_COLUMNS = [
  { key: 'check', title: 'Check', kind: 'text', whole: true },
  { key: 'status', title: 'Is', kind: 'text', whole: true },
  { key: 'summary', title: 'What', kind: 'text' },
] as const;

function doctorReport(
  results: readonly Result[],
  { settings, format }: { settings: readonly ShownSetting[]; format: Format },
): Report {
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
    ...(format === 'table' ? byCheck(results) : byFinding(results)),
    wrap: true,
    notes: [
      ...settings.map(({ name, value, source }) => `${name} = ${value}   (${source})`),
      ...(settings.length > 0 ? [''] : []),
      ...findings.flatMap(({ check, message, fix }) => [`${check}: ${message}`, `  ${fix}`]),
      findings.length === 0 ? 'Nothing is wrong.' : `${plural(findings.length, 'finding')}.`,
    ],
  };
}
