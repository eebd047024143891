import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, sandbox } from './helpers/cli.ts';
import { CLUSTER, ClickHouseServer, startCluster } from './helpers/clickhouse-server.ts';
import { blocksOf, commandsIn, documentText, ownCommand } from './helpers/documents.ts';

const document = documentText('docs/clickhouse-server.md');

/** Command lines and SQL statements, in the order of the document; the server's address is in the environment of each. */
const steps = blocksOf(document).flatMap((block) => {
  if (block.language === 'sql') return block.text.split(/;\n/).filter((sql) => sql.trim() !== '');
  if (block.language !== 'sh') return [];
  const commands = commandsIn(block).map(({ command }) => command);
  return commands.filter((command) => !command.startsWith('export '));
});

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
    const own = ownCommand(here);
    if (own === undefined) {
      await server.sql(here);
      return;
    }
    const result = await box.run(own.args, { env: { INFRASAGE_CLICKHOUSE_URL: server.url } });
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
