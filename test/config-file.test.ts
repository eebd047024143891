import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULTS } from '../src/config.ts';
import { allSettings } from '../src/settings/table.ts';
import { type Sandbox, sandbox } from './helpers/cli.ts';

const isRoot = process.getuid?.() === 0;

interface Shown {
  name: string;
  value: string;
  source: string;
}

let box: Sandbox;
beforeAll(() => {
  box = sandbox({ initialised: true });
});
afterAll(() => box.remove());

/** Files of one test, which the next does not find. */
let files: string[] = [];
function file(name: string, content: string): string {
  const path = box.file(name, content);
  chmodSync(path, 0o600);
  files.push(path);
  return path;
}
beforeEach(() => {
  for (const path of files) rmSync(path, { force: true });
  files = [];
});

/** Settings in force by name, with where they come from. */
async function inForce(args: string[] = [], env: Record<string, string> = {}): Promise<Map<string, Shown>> {
  const { stdout } = await box.run([...args, 'doctor', '--json', '--offline'], { env });
  const { checks } = JSON.parse(stdout) as {
    checks: { name: string; details: { settings: Shown[] } }[];
  };
  const all = checks.find(({ name }) => name === 'settings')?.details.settings ?? [];
  return new Map(all.map((one) => [one.name, one]));
}

async function refusal(args: string[] = ['tenants'], env: Record<string, string> = {}): Promise<string> {
  const { status, stdout, stderr } = await box.run(args, { env });
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  return stderr;
}

describe('settings', () => {
  it('come from flags, then the environment, then .env, then the config file, then defaults', async () => {
    const found = async (...now: Parameters<typeof inForce>) => (await inForce(...now)).get('tenant');
    expect(await found()).toBeUndefined();
    file('infrasage.config.yaml', 'tenant: of-file\n');
    expect(await found()).toEqual({ name: 'tenant', value: 'of-file', source: 'infrasage.config.yaml:1' });
    file('.env', 'OTHER=1\nINFRASAGE_TENANT="of dot env"\n');
    expect(await found()).toEqual({ name: 'tenant', value: 'of dot env', source: '.env:2' });
    const env = { INFRASAGE_TENANT: 'of-env' };
    expect(await found([], env)).toEqual({ name: 'tenant', value: 'of-env', source: 'INFRASAGE_TENANT' });
    expect(await found(['--tenant', 'flag'], env)).toEqual({
      name: 'tenant',
      value: 'flag',
      source: '--tenant',
    });
    // Set to nothing is not set, whatever the files say.
    expect(await found([], { INFRASAGE_TENANT: '' })).toBeUndefined();
  });

  it('in a file decide what commands do, and a path is of the folder that the file is in', async () => {
    mkdirSync(join(box.folder, 'conf'), { recursive: true });
    const path = file('conf/own.yaml', 'data_dir: ../data\nformat: json\n');
    const result = await box.run(['--config', path, 'tenants'], { dataDir: false });
    expect(result).toEqual({ status: 0, stdout: '{\n  "tenants": []\n}\n', stderr: '' });
    expect((await box.run(['tenants'], { dataDir: false, env: { INFRASAGE_CONFIG: path } })).stdout).toBe(
      result.stdout,
    );
    expect(
      (await box.run(['--config', path, '--format', 'csv', 'tenants'], { dataDir: false })).stdout,
    ).toMatch(/^tenant_id,/);
  });

  it('are in JSON as in YAML, in the folder of the user too, nested or by groups', async () => {
    const own = join(box.folder, '.config', 'infrasage');
    mkdirSync(own, { recursive: true });
    file('.config/infrasage/config.json', '{ "serve": { "port": 81 }, "database": "infrasage" }');
    const all = await inForce();
    expect(all.get('serve.port')).toMatchObject({ value: '81', source: `${own}/config.json:1` });
    const elsewhere = join(box.folder, 'xdg');
    mkdirSync(join(elsewhere, 'infrasage'), { recursive: true });
    file('xdg/infrasage/config.yaml', 'alerts:\n  webhook_allow_hosts: [a.example, "b.example:81"]\n');
    const xdg = await inForce([], { XDG_CONFIG_HOME: elsewhere });
    expect(xdg.get('serve.port')?.source).toBe('default');
    expect(xdg.get('alerts.webhook_allow_hosts')?.value).toBe('a.example,b.example:81');
    // The one in the working directory is the only one that is read.
    file('infrasage.config.json', '{}');
    expect((await inForce()).get('serve.port')?.source).toBe('default');
  });

  it('are what stands there, not the number it would be', async () => {
    file(
      'infrasage.config.yaml',
      'tenant: 007\nclickhouse: { user: 12345678901234567890 }\nalerts:\n  webhook_allow_hosts: [1.10, a]\n',
    );
    const all = await inForce();
    expect(all.get('tenant')?.value).toBe('007');
    expect(all.get('clickhouse.user')?.value).toBe('12345678901234567890');
    expect(all.get('alerts.webhook_allow_hosts')?.value).toBe('1.10,a');
    file('infrasage.config.yaml', 'tenant:\n');
    expect((await inForce()).get('tenant')).toBeUndefined();
  });

  it('of every kind can be in a file', async () => {
    const values: Record<string, string> = {
      'clickhouse.url': 'http://127.0.0.1:1',
      'clickhouse.retry_for': '0',
      database: 'other',
      format: 'json',
      'serve.port': '80',
      'serve.rate_limit': '5',
      'serve.log_level': 'warn',
      'jwt.secret': 's'.repeat(32),
      'jwt.jwks_url': 'https://login.acme.example/keys',
    };
    const lines = allSettings().map(({ name }) => `${name}: ${values[name] ?? 'x'}\n`);
    file('infrasage.config.yaml', lines.join(''));
    const all = await inForce();
    for (const [i, { name, flag }] of allSettings().entries()) {
      // --json is a flag too, and the environment names the data directory.
      const above: Record<string, string> = { '--data-dir': 'INFRASAGE_DATA_DIR', '--format': '--format' };
      const source = above[flag ?? ''] ?? `infrasage.config.yaml:${i + 1}`;
      expect(all.get(name)).toMatchObject({ source });
    }
  });
});

describe('docs/configuration.md', () => {
  const text = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');

  it('has a row for every setting, as the program knows it', () => {
    const rows = [...text.matchAll(/^\| `([a-z_.]+)` .*$/gm)].map(([row]) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
    const defaults: Record<string, string> = { ...DEFAULTS, data_dir: 'see below' };
    expect(rows).toEqual(
      allSettings().map(({ name, variable, flag = '', what }) => [
        name,
        variable,
        flag,
        defaults[name] ?? '',
        what,
      ]),
    );
  });

  it('shows a file that is taken as it is', async () => {
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(text) ?? [];
    file('infrasage.config.yaml', example);
    const all = await inForce();
    expect(all.get('serve.port')).toMatchObject({ value: '80', source: 'infrasage.config.yaml:8' });
    expect(all.get('clickhouse.password')?.value).toBe('…');
  });
});

describe('a file that is wrong is named with the line', () => {
  it.each([
    [
      '"root:$6$hash": x',
      'infrasage.config.yaml:1: there is no such setting; settings are named in docs/configuration.md',
    ],
    ['databse: x', 'infrasage.config.yaml:1: there is no setting databse; did you mean database?'],
    [
      'serve:\n  prot: 1',
      'infrasage.config.yaml:2: there is no setting serve.prot; did you mean serve.port?',
    ],
    ['serve:\n  port: http', 'infrasage.config.yaml:2: serve.port must be a whole number from 0 to 65535'],
    ['\n\ndatabase: 1st', 'infrasage.config.yaml:3: database must be letters, digits and underscores'],
    ['format: xml', 'infrasage.config.yaml:1: format must be one of table, json'],
    ['tenant: "a', 'infrasage.config.yaml:2: Missing closing'],
    ['tenant: a\ntenant: b', 'infrasage.config.yaml:2: Map keys must be unique'],
    ['tenant:\n  name: a', 'infrasage.config.yaml:1: tenant must be a single value'],
    ['- a', 'infrasage.config.yaml:1: must be settings by their names'],
    ['jwt:\n  secret: too-short', 'infrasage.config.yaml:2: jwt.secret must be at least 32 bytes'],
  ])('%j', async (content, words) => {
    file('infrasage.config.yaml', `${content}\n`);
    const said = await refusal();
    expect(said).toContain(`infrasage: ${words}`);
    expect(said).not.toContain('too-short');
  });

  it('.env too', async () => {
    file('.env', '# a comment\nINFRASAGE_PORT=http\n');
    expect(await refusal()).toContain('.env:2: INFRASAGE_PORT must be a whole number');
  });

  it('two in one place, and one that is not there', async () => {
    file('infrasage.config.yaml', 'tenant: a\n');
    file('infrasage.config.json', '{}');
    expect(await refusal()).toContain(
      'infrasage.config.yaml and infrasage.config.json are both there; keep one',
    );
    file('infrasage.config.yml', 'tenant: b\n');
    rmSync(box.file('infrasage.config.json', ''));
    expect(await refusal()).toContain(
      'infrasage.config.yaml and infrasage.config.yml are both there; keep one',
    );
    rmSync(box.file('infrasage.config.yaml', ''));
    expect((await inForce()).get('tenant')?.source).toBe('infrasage.config.yml:1');
    expect(await refusal(['--config', 'nowhere.yaml', 'tenants'])).toContain(
      'there is no config file nowhere.yaml',
    );
  });

  it('--help reads none', async () => {
    file('infrasage.config.yaml', 'databse: x\n');
    expect(await box.run(['usage', '--help'])).toMatchObject({ status: 0 });
  });

  // Only root can give a file away.
  it.runIf(isRoot)(
    'one of another user in the working directory is not taken, unless it is named',
    async () => {
      const path = file('infrasage.config.yaml', 'tenant: a\n');
      chownSync(path, 12_345, 0);
      expect(await refusal()).toContain(
        'infrasage.config.yaml belongs to another user (12345); give it with --config',
      );
      expect(await box.run(['--config', path, 'tenants'])).toMatchObject({ status: 0 });
      const dotEnv = file('.env', 'OTHER=1\n');
      chownSync(dotEnv, 12_345, 0);
      expect(await box.run(['--config', path, 'tenants'])).toMatchObject({ status: 0 });
      writeFileSync(dotEnv, 'INFRASAGE_TENANT=a\n');
      expect(await refusal(['--config', path, 'tenants'])).toContain('.env belongs to another user');
    },
  );
});

describe('secrets in a file', () => {
  it('are warned of where others can read it', async () => {
    const path = file('infrasage.config.yaml', 'alerts:\n  webhook_secret: hush-hush\n');
    expect((await box.run(['tenants'])).stderr).toBe('');
    chmodSync(path, 0o644);
    const { status, stderr } = await box.run(['tenants']);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr:
        'infrasage.config.yaml has secrets in it and others can read it: chmod 600 infrasage.config.yaml\n',
    });
    writeFileSync(path, 'clickhouse:\n  url: http://user:hush@127.0.0.1:1\n  retry_for: 0\n');
    expect((await box.run(['tenants'])).stderr).toContain('has secrets in it');
    writeFileSync(path, 'tenant: a\n');
    expect((await box.run(['tenants'])).stderr).toBe('');
    expect((await box.run(['tenants', '--quiet'])).stderr).toBe('');
  });
});
