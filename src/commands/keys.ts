import { randomBytes } from 'node:crypto';
import { createKey, keyJson, listKeys, revokeKey } from '../access/keys.ts';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { type CommandModule, examples } from './command.ts';
import { sayIfUnknown } from './unknown-tenant.ts';

/** Longest name of a key, characters. */
const LONGEST_NAME = 128;

export const configure: CommandModule['configure'] = (command, act) => {
  examples(command, [
    'infrasage keys create --tenant acme-corp --name "edge collector"',
    'infrasage keys list',
    'infrasage keys revoke 5f0c3b9a1d2e',
  ]);
  const create = command
    .command('create')
    .description('Make an API key with which a tenant sends telemetry. It is printed once and kept nowhere.')
    .option('--name <name>', 'what it is for', '');
  act<{ name: string }>(create, async (context, { name }) => {
    const { config, now } = context;
    if (config.tenant === undefined) throw usageError('a key needs a tenant', 'give --tenant ID');
    if ([...name].length > LONGEST_NAME)
      throw usageError(`--name must be at most ${LONGEST_NAME} characters`);
    const store = await context.storeToWrite();
    const { key, kept } = await createKey(
      store,
      { tenantId: config.tenant, name },
      { now, random: randomBytes },
    );
    await sayIfUnknown(context, { store, tenantId: config.tenant });
    const { id, tenant_id } = keyJson(kept);
    const shown = { id, tenant_id, name, key };
    await context.print({
      data: { ...keyJson(kept), key },
      rows: [shown],
      columns: [
        { key: 'id', title: 'Id', kind: 'text', whole: true },
        { key: 'tenant_id', title: 'Tenant', kind: 'text' },
        { key: 'name', title: 'Name', kind: 'text' },
        { key: 'key', title: 'Key', kind: 'text', whole: true },
      ],
      records: true,
    });
    await context.say('Keep the key now: it is not shown again. It goes into the header X-API-Key.');
    return EXIT.ok;
  });
  const list = command
    .command('list')
    .description('List the keys, revoked ones too; the keys themselves are not kept.');
  act(list, async (context) => {
    const all = await listKeys(await context.store(), context.config.tenant ?? null);
    return context.print({
      data: { keys: all.map(keyJson) },
      rows: all.map(keyJson),
      columns: COLUMNS,
      ...(all.length === 0
        ? { notes: [`There is no key: ${context.commandLine('keys create --tenant ID')}`] }
        : {}),
    });
  });
  const revoke = command
    .command('revoke <id>')
    .description('Make a key invalid, for good. A running server refuses it within two seconds.');
  act<object, [string]>(revoke, async (context, _, id) => {
    const revoked = await revokeKey(await context.storeToChange(), {
      id,
      tenantId: context.config.tenant ?? null,
      now: context.now,
    });
    if (!revoked) {
      throw new InfrasageError(`there is no key ${id}`, {
        hint: 'see infrasage keys list',
        exitStatus: EXIT.usage,
      });
    }
    return context.print({
      data: keyJson(revoked),
      rows: [keyJson(revoked)],
      columns: COLUMNS,
      notes: ['Revoked.'],
    });
  });
};

const COLUMNS = [
  { key: 'id', title: 'Id', kind: 'text', whole: true },
  { key: 'tenant_id', title: 'Tenant', kind: 'text' },
  { key: 'name', title: 'Name', kind: 'text' },
  { key: 'created_at', title: 'Created', kind: 'text', whole: true },
  { key: 'revoked_at', title: 'Revoked', kind: 'text', whole: true },
] as const;
