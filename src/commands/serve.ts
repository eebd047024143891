import { randomBytes, randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { KeyRing } from '../access/keys.ts';
import { tokenVerifier } from '../access/tokens.ts';
import { channelSettings } from '../alerts/channels/settings.ts';
import type { Firing } from '../alerts/firings.ts';
import { headline } from '../alerts/message.ts';
import type { Deliveries } from '../alerts/outbox.ts';
import { watchAlerts } from '../alerts/watch.ts';
import { readServerSettings } from '../config.ts';
import { EXIT } from '../errors.ts';
import { listen } from '../http/listen.ts';
import { createLogger } from '../http/log.ts';
import { buildServer } from '../http/server.ts';
import { type CommandModule, examples } from './command.ts';
import { onInterrupt } from './interrupt.ts';

export const configure: CommandModule['configure'] = (command, act) => {
  command
    .option('--host <address>', 'address to listen on, default 127.0.0.1 (INFRASAGE_HOST)')
    .option('--port <number>', 'port to listen on, 0 for any free one, default 8080 (INFRASAGE_PORT)');
  examples(command, [
    'export INFRASAGE_JWT_SECRET="$(openssl rand -hex 32)"',
    'infrasage serve',
    'infrasage serve --host 0.0.0.0 --port 80',
  ]);
  act<{ host?: string; port?: string }>(command, async (context, flags) => {
    const { io } = context;
    const settings = readServerSettings(flags, io.env, context.config);
    const tokens = tokenVerifier(settings.tokens);
    const interrupt = onInterrupt(() =>
      context.say('finishing the requests under way; once more ends at once'),
    );
    try {
      const alertDeps = await context.alertDeps();
      const store = await context.storeToShare();
      const logger = createLogger(io.stderr, settings.logLevel);
      const app = await buildServer({
        store,
        now: io.now,
        newId: randomUUID,
        logger,
        tokens,
        keys: new KeyRing(store),
        random: randomBytes,
        webhookAllowHosts: channelSettings(io.env).webhookAllowHosts,
        requestsPerMinute: settings.rateLimit,
      });
      let watching: Promise<void> | undefined;
      try {
        const address = await listen(app, settings);
        await context.say(`listening on ${address}; Ctrl-C stops`);
        watching = watchAlerts(store, alertDeps, {
          stop: interrupt.signal,
          onFired: (fired) => logFired(logger, fired),
          onSent: (deliveries) => logSent(logger, deliveries),
          onError: (err) => logger.error({ err }, 'the alerts could not be evaluated'),
        });
        await interrupted(interrupt.signal);
      } finally {
        // Both use the store, which is closed next.
        try {
          await app.close();
        } finally {
          await watching;
        }
      }
      return EXIT.ok;
    } finally {
      interrupt.dispose();
    }
  });
};

function logFired(logger: Logger, fired: readonly Firing[]): void {
  for (const firing of fired) {
    logger.warn({ alert: firing.id, tenant_id: firing.tenantId }, `alert: ${headline(firing)}`);
  }
}

function logSent(logger: Logger, { attempts }: Deliveries): void {
  for (const { channel, outcome, detail } of attempts) {
    if (outcome === 'delivered') logger.info({ channel, detail }, 'alert delivered');
    else logger.warn({ channel, outcome, detail }, 'alert not delivered');
  }
}

async function interrupted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
