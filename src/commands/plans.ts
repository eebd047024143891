import { readClosings } from '../billing/closings.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../errors.ts';
import { write } from '../io.ts';
import { isoTime, type Month, parseMonth } from '../period.ts';
import {
  type Assignment,
  applyPlan,
  assignPlan,
  type Catalog,
  type PlanVersion,
  readCatalog,
  unknownPlan,
} from '../plans/catalog.ts';
import type { Store } from '../store/store.ts';
import { type CommandModule, examples } from './command.ts';
import { readPlanFile } from './plan-file.ts';
import { unassignedWords } from './unassigned-plan.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

const FROM = ['--from <YYYY-MM>', 'the first month that it is for; default the current one'] as const;

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage plans apply plan.yaml',
    'infrasage plans apply plan.yaml --from 2026-12',
    'infrasage plans list',
    'infrasage plans show standard',
    'infrasage plans show standard --yaml > plan.yaml',
    'infrasage plans assign standard',
    'infrasage plans assign standard --tenant acme-corp --from 2026-12',
    'infrasage plans unassign --tenant acme-corp',
  ]);
  const apply = command
    .command('apply <file>')
    .description('Check a price plan (YAML) and put it in force from a month on; earlier months keep theirs.')
    .option(...FROM);
  act<{ from?: string }, [string]>(apply, async (context, { from }, file) => {
    const month = parseMonth(from, context.now, '--from');
    const { plan, text } = await readPlanFile(file);
    const store = await context.storeToWrite();
    const { version, changed } = await applyPlan(store, {
      ...{ plan, text, month, closed: closedMonths(store), now: context.now },
    });
    const { name, version: number, effectiveFrom } = version;
    const unassigned = unassignedWords(await readCatalog(store), name, month.name);
    return context.print({
      data: { ...versionJson(version), changed },
      rows: [versionRow(version)],
      columns: VERSION_COLUMNS,
      notes: [
        changed
          ? `${name} is in force from ${effectiveFrom} on, as version ${number}.`
          : `Nothing to do: ${month.name} has this text already, as version ${number}.`,
        ...(unassigned === undefined ? [] : [unassigned]),
      ],
    });
  });

  const list = command.command('list').description('List the plans, and who has which this month.');
  act(list, async (context) => {
    const catalog = await readCatalog(await context.store());
    const month = parseMonth(undefined, context.now);
    const plans = catalog.names.map((name) => planJson(catalog, name, month));
    return context.print({
      data: { month: month.name, plans },
      rows: plans.map(({ tenants, is_default, ...plan }) => ({
        ...plan,
        assigned_to: [...(is_default ? ['(default)'] : []), ...tenants].join(', '),
      })),
      columns: [
        { key: 'name', title: 'Plan', kind: 'text', whole: true },
        { key: 'version', title: 'Version', kind: 'number' },
        { key: 'effective_from', title: 'From', kind: 'text', whole: true },
        { key: 'assigned_to', title: 'Tenants', kind: 'text' },
      ],
      notes:
        plans.length === 0
          ? [`There is no plan: ${context.commandLine('plans apply plan.yaml', { tenant: false })}`]
          : [],
    });
  });

  const show = command
    .command('show <name>')
    .description('Show the versions of a plan, and since when who has it.')
    .option('--month <YYYY-MM>', 'the text that is in force in this month; default the current one')
    .option('--yaml', 'the text alone, as it was applied');
  act<{ month?: string; yaml?: boolean }, [string]>(show, async (context, { month: given, yaml }, name) => {
    const month = parseMonth(given, context.now);
    const catalog = await readCatalog(await context.store());
    const versions = catalog.versions.filter((one) => one.name === name);
    if (versions.length === 0) throw unknownPlan(catalog, name);
    const current = catalog.version(name, month.name);
    if (yaml) return printText(context, { current, name, month });
    const assignments = historyOf(catalog, name);
    return context.print({
      data: {
        name,
        ...{ month: month.name, version: current ? current.version : null, text: current?.text ?? null },
        versions: versions.map(versionJson),
        assignments: assignments.map(assignmentJson),
      },
      rows: versions.map(versionRow),
      columns: VERSION_COLUMNS,
      title: `Plan ${name}, ${month.name}${current ? '' : ': not in force yet'}`,
      notes: [
        ...assignments.map(assignmentWords),
        ...(current ? ['', ...current.text.trimEnd().split(/\r?\n/)] : []),
      ],
    });
  });

  const assign = command
    .command('assign <name>')
    .description('Bill --tenant by a plan, or without it, every tenant that has no plan of its own.')
    .option(...FROM);
  act<{ from?: string }, [string]>(assign, (context, { from }, name) => setPlan(context, from, name));
  const unassign = command
    .command('unassign')
    .description('End what assign has begun: --tenant has the default again, or without it, there is none.')
    .option(...FROM);
  act<{ from?: string }>(unassign, (context, { from }) => setPlan(context, from, null));
};

async function setPlan(context: Context, from: string | undefined, plan: string | null) {
  const month = parseMonth(from, context.now, '--from');
  const tenantId = context.config.tenant ?? '';
  const store = await context.storeToChange();
  const { assignment, changed } = await assignPlan(store, {
    ...{ tenantId, plan, month, closed: closedMonths(store), now: context.now },
  });
  await sayIfUnknown(context, { store, tenantId });
  const json = { ...assignmentJson(assignment), changed };
  const { assigned_at: _, changed: __, ...row } = json;
  return context.print({
    data: json,
    rows: [row],
    columns: [
      { key: 'tenant_id', title: 'Tenant (- = default)', kind: 'text' },
      { key: 'plan', title: 'Plan', kind: 'text' },
      { key: 'effective_from', title: 'From', kind: 'text', whole: true },
    ],
    notes: [changed ? assignmentWords(assignment) : `Nothing to do: it is so in ${month.name} already.`],
  });
}

/** Asks for the closed months when it is known that nobody closes one meanwhile. */
function closedMonths(store: Store): () => Promise<string[]> {
  return async () => (await readClosings(store)).months;
}

/** The text of a plan and nothing else, to be changed and applied again. */
async function printText(
  context: Context,
  { current, name, month }: { current: PlanVersion | undefined; name: string; month: Month },
) {
  if (current) await write(context.io.stdout, current.text);
  else await context.say(`${name} is not in force in ${month.name}`);
  return EXIT.ok;
}

const VERSION_COLUMNS = [
  { key: 'name', title: 'Plan', kind: 'text', whole: true },
  { key: 'version', title: 'Version', kind: 'number' },
  { key: 'effective_from', title: 'From', kind: 'text', whole: true },
  { key: 'applied_at', title: 'Applied at', kind: 'text', whole: true },
] as const;

function versionRow({ name, version, effectiveFrom, at }: PlanVersion) {
  return { name, version, effective_from: effectiveFrom, applied_at: isoTime(at) };
}

function versionJson(version: PlanVersion) {
  return { ...versionRow(version), text: version.text };
}

/** A plan as it is this month; where it begins later, as it will be then. */
function planJson(catalog: Catalog, name: string, month: Month) {
  const has = (tenant: string) => catalog.own(tenant, month.name)?.plan === name;
  const versions = catalog.versions.filter((one) => one.name === name);
  const { version, effectiveFrom } = catalog.version(name, month.name) ?? (versions[0] as PlanVersion);
  return {
    ...{ name, version, effective_from: effectiveFrom, is_default: has('') },
    tenants: catalog.tenantsWithOwn(month).filter(has),
  };
}

/** What concerns a plan in the assignments there were: who was given it, and who had it before a change. */
function historyOf({ assignments }: Catalog, name: string): Assignment[] {
  const concerned = new Set(assignments.filter(({ plan }) => plan === name).map(({ tenantId }) => tenantId));
  return assignments.filter(({ tenantId }) => concerned.has(tenantId));
}

function assignmentJson({ tenantId, plan, effectiveFrom, at }: Assignment) {
  return { tenant_id: tenantId || null, plan, effective_from: effectiveFrom, assigned_at: isoTime(at) };
}

function assignmentWords({ tenantId, plan, effectiveFrom }: Assignment): string {
  const who = tenantId || 'every tenant without a plan of its own';
  return `From ${effectiveFrom} on: ${who} ${plan === null ? 'has none' : `is billed by ${plan}`}${plan === null && tenantId !== '' ? ' of its own' : ''}.`;
}
