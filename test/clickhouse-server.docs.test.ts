import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { CLUSTER, ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';

const document = readFileSync(new URL('../docs/clickhouse-server.md', import.meta.url), 'utf8');

/** Command lines and SQL statements, in the order of the document. */
const steps = [...document.matchAll(/^```(sh|sql)\n(.*?)^```/gms)].flatMap(([, language, block = '']) =>
  language === 'sql'
    ? block.split(/;\n/).filter((sql) => sql.trim() !== '')
    : block.split('\n').filter((line) => line.startsWith('infrasage ')),
);

describe('what docs/clickhouse-server.md says to run', () => {
  let box: Sandbox;
  let server: ClickHouseServer;
  let pair: ClickHouseServer[];
  beforeAll(async () => {
    box = sandbox();
    const backups = join(box.folder, 'backups');
    mkdirSync(backups);
    const config = `<backups><allowed_path>${backups}</allowed_path></backups>`;
    server = await ClickHouseServer.start({ config });
    pair = await startCluster();
    const events = await box.run(['demo', '--events'], { dataDir: false });
    box.file('events.ndjson', events.stdout);
  });
  afterAll(async () => {
    await box.remove();
    await Promise.all([server, ...pair].map((one) => one.remove()));
  });

  it('has commands and statements', () => {
    expect(steps.length).toBeGreaterThan(15);
    expect(document).toContain(`--cluster ${CLUSTER} `);
  });

  it.each(steps)('%s', async (step) => {
    const here = step
      .replaceAll('http://ch1:8123', pair[0]?.url ?? '')
      .replaceAll('http://ch2:8123', pair[1]?.url ?? '')
      .replaceAll('/backups/', join(box.folder, 'backups/'));
    if (!step.startsWith('infrasage ')) {
      await server.sql(here);
      return;
    }
    const result = await box.run(here.split(' ').slice(1), { env: { INFRASAGE_CLICKHOUSE_URL: server.url } });
    expect(result.stderr).not.toContain('infrasage:');
    expect(result.status).toBe(0);
  });

  it('leaves every event metered, those of the platform itself too', async () => {
    const [own] = await server.sql<{ events: number; foreign: number }>(
      `SELECT sum(event_count) AS events, sumIf(event_count, batch_id = '') AS foreign FROM infrasage.infrasage_usage_metering`,
    );
    expect(own).toMatchObject({ foreign: 1 });
    expect(own?.events).toBeGreaterThan(1000);
  });
});
