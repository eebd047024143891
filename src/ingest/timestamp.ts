import { z } from 'zod';

const dateSchema = z.iso.date();

/**
 * The time an RFC 3339 timestamp names, in milliseconds since 1970 with any
 * finer fraction cut off; undefined if it is none, or not a real date and time.
 * @param assumeUtc whether a time without an offset is UTC and a space may stand for the T
 */
export function parseTimestamp(text: string, assumeUtc: boolean): number | undefined {
  const [, date, gap, time, fraction = '', offset] =
    /^(\d{4}-\d{2}-\d{2})([Tt ])((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/.exec(
      text,
    ) ?? [];
  if (!dateSchema.safeParse(date).success || (!assumeUtc && (gap === ' ' || offset === undefined))) {
    return undefined;
  }
  const local = Date.parse(`${date}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`);
  return local - offsetMinutes(offset) * 60_000;
}

/** Minutes east of UTC. */
function offsetMinutes(offset = 'Z'): number {
  if (offset.length === 1) {
    return 0;
  }
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4));
  return offset.startsWith('-') ? -minutes : minutes;
}
