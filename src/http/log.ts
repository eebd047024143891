import type { Writable } from 'node:stream';
import { type Logger, pino, stdTimeFunctions } from 'pino';

/** The server's log: one JSON object a line. No credential gets into it. */
export function createLogger(out: Writable, level: string): Logger {
  return pino(
    {
      level,
      base: null,
      // Words, which people and collectors read alike; pino's numbers are its own.
      formatters: { level: (label) => ({ level: label }) },
      timestamp: stdTimeFunctions.isoTime,
      redact: ['headers', 'req.headers', 'err.headers'].flatMap((headers) => [
        `${headers}.authorization`,
        `${headers}["x-api-key"]`,
      ]),
    },
    out,
  );
}
