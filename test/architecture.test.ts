import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Import {
  /** Path from the root of the package. */
  from: string;
  /** Path from the root of the package, or a package's name. */
  to: string;
  /** Whether only types are taken, which is gone at run time. */
  typeOnly: boolean;
}

/** What package.json and its lock have of each package. */
const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, { dev?: boolean; engines?: { node?: string } }>;
};

const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `src/${name.replaceAll('\\', '/')}`);
const imports = files.flatMap(importsOf);

function importsOf(from: string): Import[] {
  const text = readFileSync(join(ROOT, from), 'utf8').replace(/^\s*(\/\/|\*).*$/gm, '');
  const found = [
    ...[...text.matchAll(/^(?:import|export)\s(type\s)?(?:[^'";]*?\sfrom\s)?'([^']+)'/gm)],
    ...[...text.matchAll(/\bimport\((\s*)'([^']+)'\s*\)/g)].map(
      ([, , name]) => ['', undefined, name] as const,
    ),
  ];
  return found.map(([, type, name = '']) => ({
    from,
    to: name.startsWith('.') ? normalize(join(dirname(from), name)).replaceAll('\\', '/') : name,
    typeOnly: Boolean(type?.trim()),
  }));
}

/** The folder of src that a file is in; a file of src itself stands for itself. */
function part(path: string): string {
  const [src, first = '', ...rest] = path.split('/');
  return src === 'src' && rest.length > 0 ? first : path;
}

const shown = ({ from, to }: Import) => `${from} imports ${to}`;
const within = (folders: readonly string[], path: string) => folders.includes(part(path));

describe('imports', () => {
  test('were found, and each names a file that is there', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(files.length);
    expect(imports.some(({ from, to }) => from === 'src/program.ts' && to === 'src/commands/index.ts')).toBe(
      true,
    );
    expect(
      imports.some(({ from, to }) => from === 'src/commands/index.ts' && to === 'src/commands/usage.ts'),
    ).toBe(true);
    const lost = imports.filter(({ to }) => to.startsWith('src/') && !existsSync(join(ROOT, to)));
    expect(lost.map(shown)).toEqual([]);
  });

  test('only the store knows the driver and the engine', () => {
    const drivers = imports.filter(({ to }) => /^(@clickhouse\/|chdb(\/|$))/.test(to));
    expect(drivers.length).toBeGreaterThan(0);
    expect(drivers.filter(({ from }) => part(from) !== 'store').map(shown)).toEqual([]);
  });

  /** From the top down: a part may import from its own row and from those below. */
  const LAYERS = [
    ['src/cli.ts'],
    ['src/program.ts'],
    ['commands', 'http'],
    ['src/context.ts', 'src/open-context.ts'],
    ['intake', 'dead-letters', 'doctor', 'completion'],
    ['billing'],
    ['access', 'plans', 'ingest', 'reports', 'alerts', 'verify'],
    ['store'],
    ['src/config.ts'],
    ['settings'],
    ['render'],
    ['src/period.ts', 'src/quantity.ts', 'src/strict-json.ts', 'src/group-by.ts'],
    ['src/errors.ts', 'src/io.ts', 'src/package.ts'],
  ];

  test('point one way: commands, then intake, then ingest, reports and alerts, then the store', () => {
    const layer = (path: string) => LAYERS.findIndex((row) => row.includes(part(path)));
    expect(
      files.filter((path) => layer(path) < 0),
      'files that have no place in the order',
    ).toEqual([]);
    const upward = imports
      .filter(({ to, typeOnly }) => to.startsWith('src/') && !typeOnly)
      .filter(({ from, to }) => layer(to) < layer(from));
    expect(upward.map(shown)).toEqual([]);
  });

  test('the store knows nothing of what is built on it, not even types', () => {
    const upper = [
      'commands',
      'http',
      'intake',
      'dead-letters',
      'billing',
      'access',
      'plans',
      'ingest',
      'reports',
      'alerts',
      'verify',
      'render',
      'src/context.ts',
      'src/open-context.ts',
      'src/cli.ts',
    ];
    const wrong = imports.filter(({ from, to }) => part(from) === 'store' && within(upper, to));
    expect(wrong.map(shown)).toEqual([]);
  });

  test('rendering knows nothing of the store, nor of what it prints', () => {
    const wrong = imports.filter(
      ({ from, to }) =>
        part(from) === 'render' &&
        within(
          [
            'store',
            'billing',
            'access',
            'plans',
            'ingest',
            'intake',
            'dead-letters',
            'reports',
            'alerts',
            'verify',
            'commands',
            'http',
          ],
          to,
        ),
    );
    expect(wrong.map(shown)).toEqual([]);
  });

  /** The first circle among imports at run time, where each file stands for what `of` makes of it. */
  function circleOf(of: (path: string) => string): string | undefined {
    const edges = new Map<string, Set<string>>();
    for (const { from, to, typeOnly } of imports) {
      if (typeOnly || !to.startsWith('src/') || of(from) === of(to)) continue;
      edges.set(of(from), (edges.get(of(from)) ?? new Set()).add(of(to)));
    }
    const free = new Set<string>();
    const circle = (at: string, path: readonly string[]): string[] | undefined => {
      if (path.includes(at)) return [...path.slice(path.indexOf(at)), at];
      if (free.has(at)) return undefined;
      for (const next of edges.get(at) ?? []) {
        const found = circle(next, [...path, at]);
        if (found) return found;
      }
      free.add(at);
      return undefined;
    };
    return [...edges.keys()]
      .map((at) => circle(at, []))
      .find(Boolean)
      ?.join(' -> ');
  }

  test.each([
    ['parts of the program', part],
    ['files', (path: string) => path],
  ])('%s import each other in no circle at run time', (_, of) => {
    expect(circleOf(of)).toBeUndefined();
  });

  test('nothing imports the command line but what is in bin', () => {
    expect(imports.filter(({ to }) => to === 'src/cli.ts').map(shown)).toEqual([]);
    expect(readFileSync(join(ROOT, 'bin/infrasage.js'), 'utf8')).toContain("'../dist/program/cli.js'");
  });

  test('rows are inserted by the calls of the store that are for it, which know who has taken over', () => {
    const inserts = files.filter((path) => readFileSync(join(ROOT, path), 'utf8').includes('INSERT INTO'));
    expect(inserts.length).toBeGreaterThan(0);
    expect(inserts.filter((path) => part(path) !== 'store')).toEqual([]);
  });

  test('a command holds no SQL', () => {
    const commands = files.filter((path) => part(path) === 'commands');
    const sql = /\{\{db\}\}|\b(SELECT|INSERT INTO|ALTER TABLE)\s/;
    // The examples of `sql` are what others ask.
    const own = (path: string) => readFileSync(join(ROOT, path), 'utf8').replace(/infrasage sql .*$/gm, '');
    expect(commands.filter((path) => sql.test(own(path)))).toEqual([]);
  });
});

test('no package that is installed with it wants a later Node than it does itself', () => {
  const least = (node = '') => Number(/^(?:>= ?|\^)(\d+)/.exec(node)?.[1] ?? 0);
  const own = least(lock.packages['']?.engines?.node);
  expect(own).toBeGreaterThan(0);
  const later = Object.entries(lock.packages).filter(
    ([, { dev, engines }]) => !dev && least(engines?.node) > own,
  );
  expect(later.map(([name]) => name)).toEqual([]);
});
