import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { z } from 'zod';

const BENCH = fileURLToPath(new URL('../bench/run.js', import.meta.url));

const reports = z.object({
  reports: z
    .array(
      z.object({
        differences: z.array(z.string()),
        ingest_against: z.object({ plain: z.object({ cpu: z.object({ median: z.number() }) }) }),
      }),
    )
    .length(1),
});

// CPU time, whole processes in turn: other tests beside them slow both. It was 3.1 on a quiet machine, of which starting
// the program is a fifth. Lines that are handled one by one in JavaScript, or statements for each thousand, are seen here.
test('ingest takes at most five times the CPU time of the plain INSERT, and stores what the generator tallied', () => {
  const args = [BENCH, '--events=500000', '--rounds=1', '--only=ingest,plain', '--json'];
  const printed = execFileSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [report] = reports.parse(JSON.parse(printed)).reports;
  expect(report?.differences).toEqual([]);
  expect(report?.ingest_against.plain.cpu.median).toBeLessThan(5);
});
