import { describe, expect, test } from 'vitest';
import { type Sandbox, withStore } from './helpers/cli.ts';
import { blocksOf, documentText } from './helpers/documents.ts';

const NOW = new Date('2026-11-20T12:00:00Z');
const yaml = (fee: string, name = 'standard') =>
  `name: ${name}\ncurrency: EUR\nbase_fee: ${fee} # a comment\n`;

interface Shown {
  version: number | null;
  text: string | null;
  versions: { version: number; effective_from: string; text: string }[];
  assignments: { tenant_id: string | null; plan: string | null; effective_from: string }[];
}

/** Commands on a box in which it is NOW. */
function at(box: Sandbox) {
  const run = (...args: string[]) => box.run(args, { now: NOW });
  const json = <T>(...args: string[]) => box.json<T>(args, { now: NOW });
  return {
    run,
    json,
    /** Applies a text from a month on; says whether it was anything new, and its version. */
    async apply(text: string, from?: string) {
      const path = box.file('plan.yaml', text);
      return json<{ version: number; changed: boolean; effective_from: string }>(
        ...['plans', 'apply', path, ...(from === undefined ? [] : ['--from', from])],
      );
    },
    show: (...args: string[]) => json<Shown>('plans', 'show', 'standard', ...args),
  };
}

describe('plans', () => {
  test('a changed plan is a version from a month on, the months before keep theirs; the same text is nothing new', () =>
    withStore(async (box) => {
      const { run, apply, show } = at(box);
      expect(await apply(yaml('1.00'), '2026-09')).toMatchObject({ version: 1, changed: true });
      expect(await apply(yaml('2.00'))).toMatchObject({
        version: 2,
        changed: true,
        effective_from: '2026-11',
      });
      expect(await apply(yaml('2.00'))).toMatchObject({ version: 2, changed: false });
      expect(await apply(yaml('2.00'), '2026-12')).toMatchObject({ version: 2, changed: false });
      // A month in between: up to the next month that has a version of its own.
      expect(await apply(yaml('3.00'), '2026-10')).toMatchObject({ version: 3, changed: true });
      expect(await show('--month', '2026-08')).toMatchObject({ version: null, text: null });
      expect(await show('--month', '2026-09')).toMatchObject({ version: 1, text: yaml('1.00') });
      const shown = await show();
      expect(shown).toMatchObject({ version: 2, text: yaml('2.00') });
      expect(
        shown.versions.map(({ version, effective_from, text }) => [version, effective_from, text]),
      ).toEqual([
        [1, '2026-09', yaml('1.00')],
        [2, '2026-11', yaml('2.00')],
        [3, '2026-10', yaml('3.00')],
      ]);
      expect((await run('plans', 'show', 'standard', '--yaml')).stdout).toBe(yaml('2.00'));
      expect((await run('plans', 'show', 'standard')).stdout).toContain('base_fee: 2.00 # a comment\n');
    }));

  test('are assigned to a tenant or to all others, from a month on, and taken away', () =>
    withStore(async (box) => {
      const { run, apply, show, json } = at(box);
      expect((await run('plans', 'list')).stdout).toContain(
        'There is no plan: infrasage plans apply plan.yaml',
      );
      await apply(yaml('1.00'), '2026-09');
      await apply(yaml('9.00', 'special'), '2026-10');
      const assign = (...args: string[]) => json<{ changed: boolean }>('plans', ...args);
      const own = ['--tenant', 'acme-corp'];
      expect(await assign('assign', 'standard', '--from', '2026-09')).toMatchObject({
        ...{ tenant_id: null, plan: 'standard', effective_from: '2026-09', changed: true },
      });
      expect(await assign('assign', 'special', ...own)).toMatchObject({
        ...{ tenant_id: 'acme-corp', plan: 'special', effective_from: '2026-11', changed: true },
      });
      expect(await assign('assign', 'special', ...own)).toMatchObject({ changed: false });
      expect(await assign('unassign', ...own, '--from', '2027-01')).toMatchObject({
        ...{ tenant_id: 'acme-corp', plan: null, effective_from: '2027-01', changed: true },
      });
      expect(await assign('unassign', '--tenant', 'globex')).toMatchObject({ plan: null, changed: false });
      const { plans } = await json<{ plans: object[] }>('plans', 'list');
      expect(plans).toEqual([
        { name: 'special', version: 1, effective_from: '2026-10', is_default: false, tenants: ['acme-corp'] },
        { name: 'standard', version: 1, effective_from: '2026-09', is_default: true, tenants: [] },
      ]);
      const list = (await run('plans', 'list')).stdout;
      expect(list).toMatch(/special +1 +2026-10 +acme-corp\n/);
      expect(list).toMatch(/standard +1 +2026-09 +\(default\)\n/);
      expect((await show()).assignments).toMatchObject([
        { tenant_id: null, plan: 'standard', effective_from: '2026-09' },
      ]);
      expect((await run('plans', 'show', 'special')).stdout).toContain(
        'From 2027-01 on: acme-corp has none of its own.\n',
      );
    }));

  test('that are assigned to nobody bill nobody, which plans apply and billing say', () =>
    withStore(async (box) => {
      const { run, apply } = at(box);
      const bill = async (...args: string[]) => (await run('billing', '--month', ...args)).stderr;
      const path = box.file('plan.yaml', yaml('1.00'));
      expect(await bill()).toBe('');
      const toAssign = 'It is assigned to nobody: infrasage plans assign standard [--tenant ID]\n';
      expect((await run('plans', 'apply', path)).stdout).toContain(toAssign);
      expect(await bill()).toBe(
        'no price plan is assigned in 2026-11, so there is no invoice: infrasage plans assign standard [--tenant ID]\n',
      );
      expect(await bill('--plan', path)).toBe('');
      expect(await bill('2026-10')).toContain('no price plan is assigned in 2026-10');
      await apply(yaml('9.00', 'special'));
      await run('plans', 'assign', 'standard', '--tenant', 'acme-corp');
      box.file('plan.yaml', yaml('2.00'));
      expect((await run('plans', 'apply', path)).stdout).not.toContain('assigned to nobody');
      expect(await bill('--tenant', 'globex')).not.toContain('no price plan');
    }));

  test('that are not there, or not yet, are not assigned', () =>
    withStore(async (box) => {
      const { run, apply } = at(box);
      const refused = async (...args: string[]) => {
        const { status, stdout, stderr } = await run('plans', ...args);
        expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
        return stderr;
      };
      expect(await refused('assign', 'standard')).toContain(
        'there is no plan standard; infrasage plans apply plan.yaml',
      );
      await apply(yaml('1.00'));
      expect(await refused('assign', 'standrad')).toContain('there is no plan standrad; there are: standard');
      expect(await refused('show', 'standrad')).toContain('there is no plan standrad; there are: standard');
      expect(await refused('assign', 'standard', '--from', '2026-10')).toContain(
        'standard is in force from 2026-11, not yet in 2026-10',
      );
      expect(await refused('assign', 'standard', '--from', 'may')).toContain('--from may is not a month');
    }));

  test('in a file that is none are refused with its name, the line and the reason, and nothing is kept', () =>
    withStore(async (box) => {
      const { run } = at(box);
      const refused = async (name: string, content: string | Buffer) => {
        const path = box.file(name, content);
        const { status, stdout, stderr } = await run('plans', 'apply', path);
        expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
        return stderr.replaceAll(path, name);
      };
      expect(await refused('plan.yaml', yaml('-1'))).toBe(
        'infrasage: plan.yaml:3: base_fee: must not be negative; price plans: docs/billing.md\n',
      );
      expect(await refused('latin.yaml', Buffer.from('name: caf\xe9\n', 'latin1'))).toContain(
        'latin.yaml is not UTF-8',
      );
      expect(await refused('escape.yaml', `${yaml('1')}# \x1b[31mred\n`)).toContain(
        'escape.yaml:4: there is a control character',
      );
      // As of a file that ingest does not find.
      const missing = await run('plans', 'apply', 'nowhere.yaml');
      expect(missing.status).toBe(3);
      expect(missing.stderr).toContain('there is no file nowhere.yaml; check the name');
      expect((await run('plans', 'apply', box.folder)).stderr).toContain('is a directory');
      expect((await run('plans', 'list')).stdout).toContain('There is no plan');
    }));
});

test('the plan that docs/billing.md shows is that of examples/', () => {
  const [shown] = blocksOf(documentText('docs/billing.md')).filter(({ language }) => language === 'yaml');
  const bare = (text = '') => text.replace(/^ *#.*\n|^\n/gm, '');
  expect(bare(documentText('examples/plan.yaml'))).toContain(bare(shown?.text));
});

test('of a month that is closed, the plan stays: what would change it is refused', () =>
  withStore(async (box) => {
    const { run, apply, show } = at(box);
    await apply(yaml('1.00'), '2026-08');
    await apply(yaml('2.00'), '2026-11');
    expect((await run('plans', 'assign', 'standard', '--from', '2026-08')).status).toBe(0);
    expect((await run('billing', 'close', '2026-10')).status).toBe(0);
    const refused = async (...args: string[]) => {
      const { status, stdout, stderr } = await run('plans', ...args);
      expect({ status, stdout }, args.join(' ')).toEqual({ status: 3, stdout: '' });
      expect(stderr).toContain('2026-10 is closed, and stays billed as it was');
      expect(stderr).toContain('infrasage billing reopen 2026-10');
    };
    const changed = box.file('changed.yaml', yaml('3.00'));
    await refused('apply', changed, '--from', '2026-09');
    await refused('unassign', '--from', '2026-09');
    await refused('assign', 'standard', '--from', '2026-10', '--tenant', 'acme-corp');
    expect((await show()).versions).toHaveLength(2);
    // The same again changes nothing, and what is for the months after it does not touch it; nor does a plan that nobody has.
    expect(await apply(yaml('1.00'), '2026-10')).toMatchObject({ changed: false });
    expect(await apply(yaml('3.00'), '2026-11')).toMatchObject({ changed: true, version: 3 });
    expect((await run('plans', 'unassign', '--from', '2026-11')).status).toBe(0);
    expect(await apply(yaml('9.00', 'special'), '2026-09')).toMatchObject({ changed: true });
    await refused('assign', 'special', '--from', '2026-10');
    expect((await run('billing', 'reopen', '2026-10', '--reason', 'wrong plan')).status).toBe(0);
    expect((await run('plans', 'assign', 'special', '--from', '2026-10')).status).toBe(0);
  }));
