import type { ServerAddress } from '../../config.ts';
import { InfrasageError } from '../../errors.ts';
import { DISK_FULL, Interrupted, storeFailure } from '../failure.ts';

/** What a server answered that was not a result. */
export class Refused extends Error {
  /** The engine's error code, where the engine has answered; something else may stand in front of it. */
  readonly code: string | undefined;
  readonly status: number;

  constructor(status: number, code: string | undefined, text: string) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

/** The engine's codes for what calls for words or deeds of its own. */
export const CODE = {
  unknownTable: '60',
  unknownDatabase: '81',
  noAccess: '497',
  thrownIf: '395',
} as const;

/** The engine's code for a failure, also of one that has been put into words; undefined for others. */
export function codeOf(error: unknown): string | undefined {
  const cause = error instanceof InfrasageError ? error.cause : error;
  return cause instanceof Refused ? cause.code : undefined;
}

const WRONG_CREDENTIALS = ['516', '192', '193', '194'];

/**
 * Codes of what may pass: a server that is overloaded, short of memory, stopping or short of a replica, and a
 * request that did not reach it whole.
 */
const PASSING = new Set(
  // biome-ignore format: one line of numbers
  ['3', '24', '32', '33', '23', '202', '203', '209', '210', '216', '236', '242', '252', '279', '285', '319', '341', '394', '425', '473', '999', '1000', '1002'],
);
const MEMORY = '241';

/** What the system says of a connection that may be had another time. */
const PASSING_ERRNO = new Set(
  // biome-ignore format: one line of names
  ['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN', 'ERR_STREAM_PREMATURE_CLOSE', 'HPE_INVALID_EOF_STATE'],
);

/** Whether a failure may pass by itself. */
export function mayPass(failure: unknown): failure is Error {
  if (failure instanceof Interrupted) return true;
  if (failure instanceof Refused) {
    if (failure.code === undefined) return failure.status >= 500 || failure.status === 429;
    // A limit of the whole server passes with what others do; that of one query does not.
    if (failure.code === MEMORY) return /\(total\)|\(for user\)/.test(failure.message);
    return PASSING.has(failure.code);
  }
  if (!(failure instanceof Error) || failure instanceof InfrasageError) return false;
  return (
    PASSING_ERRNO.has(errnoOf(failure) ?? '') ||
    /^(Timeout error|socket hang up|aborted)/.test(failure.message)
  );
}

/** A failure of a server as an operator reads it: the server's own first line is kept. */
export function serverFailure(error: unknown, { url, user, caFile }: ServerAddress): InfrasageError {
  if (error instanceof InfrasageError) return error;
  const at = `the ClickHouse server at ${url.origin}`;
  if (error instanceof Refused) {
    if (error.code === undefined) {
      const kind = mayPass(error) ? Interrupted : InfrasageError;
      return new kind(`what answers at ${url.href} is not a ClickHouse server (status ${error.status})`, {
        hint: 'check --clickhouse: the HTTP port is 8123, or 8443 with TLS, unless configured otherwise',
        cause: error,
      });
    }
    if (WRONG_CREDENTIALS.includes(error.code)) {
      return new InfrasageError(`${at} refuses the user ${user} with this password`, {
        hint: 'set INFRASAGE_CLICKHOUSE_USER and INFRASAGE_CLICKHOUSE_PASSWORD',
        cause: error,
      });
    }
    if (error.code === DISK_FULL) {
      return new InfrasageError(`the disk of ${at} is full`, {
        hint: 'make space there and run the same command again: what was acknowledged is intact',
        cause: error,
      });
    }
    const { message: words, hint } = storeFailure({ code: error.code, message: error.message });
    return mayPass(error)
      ? new Interrupted(words, { hint, cause: error })
      : new InfrasageError(words, { hint, cause: error });
  }
  if (!(error instanceof Error)) return new InfrasageError(`${at} failed`, { cause: error });
  // A spool file that cannot be read.
  if ('path' in error) return storeFailure(error);
  const errno = errnoOf(error);
  if (errno === 'ENOTFOUND') {
    return new InfrasageError(`there is no host ${url.hostname}`, {
      hint: 'check --clickhouse',
      cause: error,
    });
  }
  if (isTlsFailure(error)) {
    const reason = /SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1] ?? error.message;
    return new InfrasageError(`no secure connection to ${at}: ${reason}`, {
      hint: caFile
        ? `check that INFRASAGE_CLICKHOUSE_CA_FILE (${caFile}) has the certificate it is signed with, and that it speaks TLS`
        : 'set INFRASAGE_CLICKHOUSE_CA_FILE to the certificate it is signed with, and check that it speaks TLS',
      cause: error,
    });
  }
  const passes: boolean = mayPass(error);
  if (passes) {
    return new Interrupted(`${at} does not answer (${errno ?? error.message})`, {
      hint: 'check --clickhouse and whether it runs; --retry-for waits longer',
      cause: error,
    });
  }
  return new InfrasageError(`${at} cannot be reached: ${error.message}`, { cause: error });
}

function isTlsFailure(error: Error): boolean {
  const errno = errnoOf(error) ?? '';
  return /^(ERR_SSL_|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO$|HOSTNAME_MISMATCH)/.test(
    errno,
  );
}

function errnoOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
