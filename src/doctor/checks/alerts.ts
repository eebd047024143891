import { channelSettings, missingSettings, settingExample } from '../../alerts/channels/settings.ts';
import { shownTarget } from '../../alerts/history.ts';
import { stateOf, type Undelivered, undelivered } from '../../alerts/undelivered.ts';
import { plural } from '../../render/text.ts';
import { type Check, dataOf, type Finding, NO_DATA, type Subject } from '../check.ts';

/** Alerts that have fired and have not reached anybody. */
export const alerts: Check = {
  name: 'alerts',
  async run(subject) {
    const data = await dataOf(subject);
    if (!data) return NO_DATA;
    if (data.kind === 'server' && (await data.server.schema()) === undefined)
      return { skipped: 'there are no tables yet' };
    const now = subject.now();
    const all = (await undelivered(data.reader, { now })).filter(
      (message) => stateOf(message, now) !== 'dropped',
    );
    const lost = all.filter((message) => stateOf(message, now) === 'expired');
    const waiting = all.filter((message) => !lost.includes(message));
    const findings: Finding[] = [
      ...(waiting.length === 0
        ? []
        : [
            {
              code: 'undelivered_alerts',
              message: `${plural(waiting.length, 'message is', 'messages are')} not delivered: ${words(waiting)}`,
              fix: sendingFix(waiting, subject.env),
            },
          ]),
      ...(lost.length === 0
        ? []
        : [
            {
              code: 'expired_alerts',
              message: `${plural(lost.length, 'message was', 'messages were')} given up after 72 hours: ${words(lost)}`,
              fix: 'infrasage alerts undelivered, then infrasage alerts retry ID or infrasage alerts drop ID --reason TEXT',
            },
          ]),
    ];
    return {
      summary: all.length === 0 ? 'all are delivered' : `${all.length} not delivered`,
      findings,
      details: { waiting: waiting.length, expired: lost.length },
    };
  },
};

/** What they need to be sent: first of all, settings that are missing. */
function sendingFix(messages: readonly Undelivered[], env: Subject['env']): string {
  const settings = channelSettings(env);
  const missing = messages.flatMap(({ channel, target }) =>
    missingSettings(
      {
        email: channel === 'email' ? target : null,
        slack: channel === 'slack',
        webhook: channel === 'webhook' ? target : null,
      },
      settings,
    ),
  );
  const check = 'infrasage alerts check; infrasage alerts undelivered shows each';
  if (missing.length === 0) return check;
  return `export ${[...new Set(missing)].map(settingExample).join(' ')}, then ${check}`;
}

/** Each place once, with what was said there last. */
function words(messages: readonly Undelivered[]): string {
  const places = messages.map(({ channel, target, last }) => {
    const to = `${channel} ${shownTarget(channel, target)}`.trim();
    return last?.detail ? `${to} (${last.detail})` : to;
  });
  return [...new Set(places)].join(', ');
}
