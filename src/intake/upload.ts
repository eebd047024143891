import { fingerprintOf, keyHash, type RequestKey } from './idempotency.ts';

/** Who sends, as their credentials say. */
export interface Sender {
  /** Tells senders apart: idempotency keys are each sender's own. */
  id: string;
  /** The tenant of all they send; null for one that may send any tenant's events. */
  tenant: string | null;
}

/** A request's body, and what its headers say of it. */
export interface Upload {
  sender: Sender;
  body: AsyncIterable<Uint8Array>;
  /** The Content-Encoding header. */
  encoding?: string | undefined;
  /** The Idempotency-Key header. */
  key?: string | undefined;
  /** Called where the body turns out to be a stream, which may take any time. */
  onStream?: () => void;
  /** Whether the sender may still send; asked while a stream goes on. */
  mayGoOn?: () => Promise<boolean>;
}

/**
 * What a request is told by where it is sent again; undefined where it came without a key.
 * @param kind what the body was sent as
 * @param body its bytes, or of a stream, its first ones
 */
export function requestKey({ sender, key }: Upload, kind: string, body: Uint8Array): RequestKey | undefined {
  if (key === undefined) return undefined;
  return { hash: keyHash(sender.id, key), fingerprint: fingerprintOf(kind, body) };
}
