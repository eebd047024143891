import type { CommandModule } from './command.ts';

export interface CommandEntry {
  name: string;
  summary: string;
  /** Not in the help: for programs. */
  hidden?: true;
  load(): Promise<CommandModule>;
}

/**
 * Every command, in the order of the help. A command's file is loaded when it
 * is called: a new one is a file here and an entry in this list.
 */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'ingest',
    summary: 'validate, store and meter events (NDJSON) from files or standard input',
    load: () => import('./ingest.ts'),
  },
  {
    name: 'usage',
    summary: 'events and bytes of a period, by type, service, tenant or time',
    load: () => import('./usage.ts'),
  },
  { name: 'services', summary: 'usage by service', load: () => import('./services.ts') },
  { name: 'billing', summary: "a month's usage, quota and projection", load: () => import('./billing.ts') },
  {
    name: 'plans',
    summary: 'price plans: apply, list, show, assign to tenants, from a month on',
    load: () => import('./plans.ts'),
  },
  {
    name: 'costs',
    summary: "a month's bill shared over services, types or the values of an attribute",
    load: () => import('./costs.ts'),
  },
  {
    name: 'report',
    summary: "a month's report as a page of its own (HTML), to read, send and print",
    load: () => import('./report.ts'),
  },
  { name: 'top', summary: 'a live view of rates, quotas and dead letters', load: () => import('./top.ts') },
  { name: 'tenants', summary: 'every tenant with metered events', load: () => import('./tenants.ts') },
  { name: 'quota', summary: 'set, show and unset monthly event quotas', load: () => import('./quota.ts') },
  {
    name: 'alerts',
    summary: 'usage thresholds and silence: add, check, deliver, look back',
    load: () => import('./alerts.ts'),
  },
  {
    name: 'dlq',
    summary: 'rejected lines (dead letters): list, explain, export, replay, purge',
    load: () => import('./dlq.ts'),
  },
  {
    name: 'capacity',
    summary: 'what the tables take up, how they grow, and when the disk is full',
    load: () => import('./capacity.ts'),
  },
  {
    name: 'export',
    summary: 'usage, events or dead letters as a Parquet, CSV or NDJSON file',
    load: () => import('./export.ts'),
  },
  { name: 'sql', summary: 'ask the tables something, read-only', load: () => import('./sql.ts') },
  { name: 'serve', summary: 'serve the HTTP API', load: () => import('./serve.ts') },
  { name: 'token', summary: 'create tokens for the HTTP API', load: () => import('./token.ts') },
  { name: 'keys', summary: 'create, list and revoke API keys', load: () => import('./keys.ts') },
  {
    name: 'verify',
    summary: 'prove the figures from the stored rows',
    load: () => import('./verify.ts'),
  },
  {
    name: 'recover',
    summary: 'settle the batches of interrupted runs (every command does it first)',
    load: () => import('./recover.ts'),
  },
  {
    name: 'doctor',
    summary: 'look what is wrong here, and name the command that mends it',
    load: () => import('./doctor.ts'),
  },
  { name: 'init', summary: 'prepare the data directory and the schema', load: () => import('./init.ts') },
  {
    name: 'completion',
    summary: 'print what makes a shell complete commands, options and tenants',
    load: () => import('./completion.ts'),
  },
  {
    name: 'demo',
    summary: 'run the main job on example events, in a temporary data directory',
    load: () => import('./demo.ts'),
  },
  {
    name: '__complete',
    summary: 'what could come next on a command line, for the shells',
    hidden: true,
    load: () => import('./complete.ts'),
  },
];
