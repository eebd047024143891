import { z } from 'zod';

const MOST = 16 * 1024 * 1024;

/** The bytes of `--max-line`. */
export const maxLine = z.coerce
  .number({ error: '--max-line must be a number of bytes' })
  .int('--max-line must be a whole number of bytes')
  .min(2, '--max-line must be at least 2 bytes')
  .max(MOST, `--max-line must be at most ${MOST} bytes`);
