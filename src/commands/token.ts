import { randomUUID } from 'node:crypto';
import { ROLES } from '../access/roles.ts';
import { createToken } from '../access/tokens.ts';
import { readTokenSettings } from '../config.ts';
import { EXIT, usageError } from '../errors.ts';
import { write } from '../io.ts';
import { parseSpan } from '../period.ts';
import { type CommandModule, examples, oneOf } from './command.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage token create --role admin --tenant acme-corp --expires 30d',
    'ADMIN_JWT="$(infrasage token create --role admin --tenant acme-corp)"',
  ]);
  const create = command
    .command('create')
    .description('Print a token for the HTTP API, signed with INFRASAGE_JWT_SECRET, and nothing else.')
    .addOption(oneOf('--role <role>', 'what it allows', ROLES).makeOptionMandatory())
    .option('--expires <span>', 'how long it is valid: 90m, 24h, 30d', '24h');
  act<{ role: string; expires: string }>(create, async ({ config, io, now }, options) => {
    const role = ROLES.find((name) => name === options.role);
    if (!role) throw usageError(`--role ${options.role} is not a role`, `use one of ${ROLES.join(', ')}`);
    if (config.tenant === undefined) throw usageError('a token needs a tenant', 'give --tenant ID');
    const token = await createToken(
      readTokenSettings(io.env, 'sign'),
      { tenantId: config.tenant, role, seconds: Math.round(parseSpan(options.expires, '--expires') / 1000) },
      { now, newId: randomUUID },
    );
    await write(io.stdout, `${token}\n`);
    return EXIT.ok;
  });
};
