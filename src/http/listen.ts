import { InfrasageError } from '../errors.ts';
import type { App } from './app.ts';

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
