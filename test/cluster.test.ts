import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockTables, migrations, views } from '../src/store/schema.ts';
import { placed } from '../src/store/server/cluster.ts';
import { withEngine } from './helpers/engine.ts';

const KEEPER = { name: 'pair', nodes: [], replicated: true };
const NAMED = { name: 'pair', nodes: ['http://a:8123/', 'http://b:8123/'], replicated: false };
const KILL = `KILL QUERY WHERE query_id = 'x' SYNC`;
const ALL = [
  'CREATE DATABASE IF NOT EXISTS {{db}}',
  ...lockTables(),
  ...migrations().flatMap(({ statements }) => statements),
  ...views().map(({ create }) => create),
  'ALTER TABLE {{db}}.infrasage_dlq DELETE WHERE 1 SETTINGS mutations_sync = 2',
  KILL,
];

it('with Keeper, every statement of the schema is one of ON CLUSTER that the engine can read, and tables are replicated', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infrasage-cluster-'));
  try {
    await withEngine(join(folder, 'data'), (sql) => {
      for (const { sql: text, everywhere } of ALL.flatMap((one) => placed(one, 'infrasage', KEEPER))) {
        expect(everywhere).toBe(false);
        expect(text).toMatch(/^[^\n(]* ON CLUSTER 'pair'/);
        expect(text).not.toMatch(/ENGINE = (Replacing)?MergeTree/);
        if (text.startsWith('KILL')) continue;
        expect(() => sql(`EXPLAIN AST ${text.replaceAll('{{db}}', 'infrasage')}`), text).not.toThrow();
      }
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('a replicated table keeps what its engine is told', () => {
  const [stored, distributed] = placed(
    'CREATE TABLE IF NOT EXISTS {{db}}.infrasage_t (a UInt8)\nENGINE = ReplacingMergeTree(version)\nORDER BY a',
    'infrasage',
    KEEPER,
  );
  expect(stored?.sql).toBe(
    `CREATE TABLE IF NOT EXISTS {{db}}.infrasage_t_local ON CLUSTER 'pair' (a UInt8)\nENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)\nORDER BY a`,
  );
  expect(distributed?.sql).toBe(
    `CREATE OR REPLACE TABLE {{db}}.infrasage_t ON CLUSTER 'pair' AS {{db}}.infrasage_t_local ENGINE = Distributed('pair', 'infrasage', 'infrasage_t_local', 0)`,
  );
});

it('without Keeper, what is about storage is done on every node, and what is not on the one that is asked', () => {
  for (const { sql, everywhere } of ALL.flatMap((one) => placed(one, 'infrasage', NAMED))) {
    expect(everywhere).toBe(true);
    expect(sql).not.toMatch(/ON CLUSTER|Replicated/);
  }
  const plain = 'INSERT INTO {{db}}.infrasage_quotas SELECT 1';
  expect(placed(plain, 'infrasage', NAMED)).toEqual([{ sql: plain, everywhere: false }]);
  expect(placed(KILL, 'infrasage', NAMED)).toHaveLength(2);
});
