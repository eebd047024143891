import { InfrasageError } from '../errors.ts';
import type { App } from './app.ts';

/** How long requests under way may take once the server stops, ms. */
const LAST_REQUESTS = 10_000;

/**
 * Starts to listen.
 * @returns the address, as a URL
 * @throws InfrasageError (exit 3) where the address or port cannot be had
 */
export async function listen(app: App, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const known = REASONS[code];
    if (!known) throw error;
    throw new InfrasageError(`cannot listen on ${host}, port ${port}: ${known}`, {
      hint: 'give another --host or --port',
      cause: error,
    });
  }
}

const REASONS: Record<string, string> = {
  EADDRINUSE: 'the port is in use',
  EACCES: 'no permission',
  EADDRNOTAVAIL: 'the address is not one of this machine',
  ENOTFOUND: 'the address is not known',
  EAI_AGAIN: 'the address is not known',
};

/** Stops listening and waits for the requests under way; those that take too long are cut off. */
export async function stop(app: App): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), LAST_REQUESTS);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}
