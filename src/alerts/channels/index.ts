import type { Channel, ChannelName, ChannelSettings } from './channel.ts';

/** Every channel, each loaded when it is first used. A new one is a file here, its name in channel.ts, and a line. */
export function channels(settings: ChannelSettings): Record<ChannelName, Channel> {
  return {
    email: lazily(async () => (await import('./email.ts')).emailChannel(settings)),
    slack: lazily(async () => (await import('./slack.ts')).slackChannel(settings)),
    webhook: lazily(async () => (await import('./webhook.ts')).webhookChannel(settings)),
  };
}

function lazily(load: () => Promise<Channel>): Channel {
  return { send: async (...message) => (await load()).send(...message) };
}
