import { z } from 'zod';
import { InfrasageError } from '../../errors.ts';
import { parseRows } from '../text-rows.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './connection.ts';

/** What a user must be allowed: privileges, and on what. */
interface Grant {
  privileges: readonly string[];
  on: string;
}

/** What reports need. */
const TO_READ = ['SELECT'];
/** What writing, settling and repairing need beside. */
const TO_WRITE = ['INSERT', 'ALTER DELETE'];
/** What making the schema, and changing it with a later version, needs beside. */
const TO_PREPARE = [
  ...['CREATE DATABASE', 'CREATE TABLE', 'CREATE VIEW'],
  ...['ALTER TABLE', 'ALTER VIEW', 'DROP TABLE', 'DROP VIEW'],
];

const ENGINES = ['MergeTree', 'ReplacingMergeTree', '`Null`', 'Memory'];

/** What a database is, or is to be, spread over; undefined: one server. */
type Spread = Pick<Cluster, 'nodes' | 'replicated'> | undefined;

/** For those who only read, write, or also make the schema. */
export type Purpose = 'write' | 'prepare';

function grantsFor(database: string, purpose: Purpose, on: Spread): Grant[] {
  const prepare = purpose === 'prepare';
  return [
    { privileges: [...TO_READ, ...TO_WRITE, ...(prepare ? TO_PREPARE : [])], on: `\`${database}\`.*` },
    // To end what an interrupted process has begun, and not to change rows on a disk that is full.
    { privileges: ['SELECT'], on: 'system.processes' },
    { privileges: ['SELECT'], on: 'system.disks' },
    // For the metrics of serve.
    { privileges: ['SELECT'], on: 'system.parts' },
    ...(prepare ? ENGINES.map((engine) => ({ privileges: ['TABLE ENGINE'], on: engine })) : []),
    // For dry runs.
    ...(prepare ? [{ privileges: ['CREATE TEMPORARY TABLE'], on: '*.*' }] : []),
    ...(prepare && on ? grantsForCluster(on) : []),
  ];
}

function grantsForCluster({ nodes, replicated }: NonNullable<Spread>): Grant[] {
  const engines = [
    'Distributed',
    ...(replicated ? ['ReplicatedMergeTree', 'ReplicatedReplacingMergeTree'] : []),
  ];
  return [
    { privileges: ['SELECT'], on: 'system.clusters' },
    ...engines.map((engine) => ({ privileges: ['TABLE ENGINE'], on: engine })),
    ...(nodes.length === 0 ? [{ privileges: ['CLUSTER'], on: '*.*' }] : []),
  ];
}

/** What only capacity and doctor need on a cluster, to see the disks of all nodes; nothing is refused for want of it. */
const TO_LOOK_AROUND: Grant = { privileges: ['REMOTE'], on: '*.*' };

/**
 * The statements that allow a user everything that infrasage does with a database.
 * @param nodes of a cluster that it is to be on, none where its servers have ClickHouse Keeper; undefined: one server
 */
export function grantStatements(database: string, user: string, nodes?: readonly string[]): string[] {
  const on = nodes && { nodes: [...nodes], replicated: true };
  return [...grantsFor(database, 'prepare', on), ...(on ? [TO_LOOK_AROUND] : [])].map((grant) =>
    statementOf(grant, user),
  );
}

function statementOf({ privileges, on }: Grant, user: string): string {
  return `GRANT ${privileges.join(', ')} ON ${on} TO \`${user}\``;
}

/** The statements that would give the user of a connection what it lacks. */
export async function missingGrants(
  connection: Connection,
  database: string,
  purpose: Purpose,
  on?: Spread,
): Promise<string[]> {
  const wanted = grantsFor(database, purpose, on).flatMap(({ privileges, on }) =>
    privileges.map((privilege) => ({ privileges: [privilege], on })),
  );
  const missing: Grant[] = [];
  await Promise.all(
    wanted.map(async (grant) => {
      const answer = await connection.run({ sql: `CHECK GRANT ${grant.privileges.join()} ON ${grant.on}` });
      const [row] = z.array(z.object({ result: z.coerce.number() })).parse(parseRows(answer));
      if (row?.result !== 1) missing.push(grant);
    }),
  );
  const { user } = connection.address;
  return wanted.filter((grant) => missing.includes(grant)).map((grant) => statementOf(grant, user));
}

/**
 * Sees to it that nothing is begun that a missing grant would leave half done.
 * @throws InfrasageError (exit 3) that names each grant that is missing
 */
export async function assertGranted(
  connection: Connection,
  database: string,
  purpose: Purpose,
  on?: Spread,
): Promise<void> {
  const words = await missingGrants(connection, database, purpose, on);
  if (words.length === 0) return;
  const { user } = connection.address;
  throw new InfrasageError(`the user ${user} lacks grants on the ClickHouse server: ${words.join('; ')}`, {
    hint: 'an administrator of the server can run these; infrasage init --print-grants prints all, for a cluster with --cluster',
  });
}
