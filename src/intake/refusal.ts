import { InfrasageError } from '../errors.ts';

/**
 * Why a request is not taken:
 * malformed     its body is not what it should be, or broke off
 * too_large     beyond a limit
 * unsupported   sent in an encoding that is not read
 * key_reused    its idempotency key came with another body before
 * revoked       its sender may not send any more, which was found while it went on
 * busy          too much is under way; the same later may be taken
 */
export type RefusalReason = 'malformed' | 'too_large' | 'unsupported' | 'key_reused' | 'revoked' | 'busy';

/** A request that is not taken, and why. Nothing of it is stored unless `kept` says so. */
export class Refusal extends InfrasageError {
  readonly reason: RefusalReason;

  constructor(
    reason: RefusalReason,
    message: string,
    details: { kept?: string; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { kept: 'nothing of it is stored', ...details });
    this.reason = reason;
  }

  override withKept(kept: string): Refusal {
    const { reason, message, hint, cause } = this;
    return new Refusal(reason, message, { kept, hint, cause: cause ?? this });
  }
}

/** A refusal that came through the layers between as the cause of another error. */
export function refusalIn(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  return error instanceof InfrasageError && error.cause instanceof Refusal ? error.cause : undefined;
}

/** What writing records failed with, as an error that can say what is stored. */
export function failureOf(error: unknown): InfrasageError {
  if (error instanceof InfrasageError) return error;
  return new InfrasageError('the records could not be written', { cause: error });
}
