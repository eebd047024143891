/**
 * Exit statuses of the program (design: data that differs is a finding, wrong
 * words are usage, and what could not be done is a failure).
 */
export const EXIT = { ok: 0, finding: 1, usage: 2, failure: 3 } as const;
export type ExitStatus = (typeof EXIT)[keyof typeof EXIT];

/** An error meant for the operator: what happened, what was kept, what to do next. */
export class InfrasageError extends Error {
  override readonly name = 'InfrasageError';
  /** What is stored all the same, one sentence; empty where nothing was at stake. */
  readonly kept: string;
  /** What to do next, one sentence. */
  readonly hint: string;
  readonly exitStatus: ExitStatus;

  constructor(
    message: string,
    details: { kept?: string; hint?: string; exitStatus?: ExitStatus; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kept = details.kept ?? '';
    this.hint = details.hint ?? '';
    this.exitStatus = details.exitStatus ?? EXIT.failure;
  }

  /** The same error, saying also what was kept; where it says so already, unchanged. */
  withKept(kept: string): InfrasageError {
    if (this.kept) return this;
    const { message, hint, exitStatus, cause } = this;
    return new InfrasageError(message, { kept, hint, exitStatus, cause: cause ?? this });
  }
}

/** Wrong usage: an option, an argument or a value the program does not take. Exit status 2. */
export function usageError(message: string, hint = ''): InfrasageError {
  return new InfrasageError(message, { hint, exitStatus: EXIT.usage });
}
