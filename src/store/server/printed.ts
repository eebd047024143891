import { schemaStatements } from '../migrate.ts';
import { lockTables } from '../schema.ts';
import { grantStatements } from './grants.ts';

/** The whole schema as SQL, for those who apply it themselves; infrasage finds it up to date. */
export function schemaSql(database: string): string {
  return sqlText(schemaStatements(lockTables()).map((sql) => sql.replaceAll('{{db}}', `\`${database}\``)));
}

/**
 * What an administrator grants to the user that infrasage works as.
 * @param nodes of a cluster that the database is to be on; undefined: one server
 */
export function grantsSql(database: string, user: string, nodes?: readonly string[]): string {
  return sqlText(grantStatements(database, user, nodes));
}

function sqlText(statements: readonly string[]): string {
  return statements.map((sql) => `${sql};\n`).join('');
}
