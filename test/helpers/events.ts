import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One event as a line, without its ending; a field set to undefined is left out. */
export function event(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    tenant_id: 'acme-corp',
    service_id: 'checkout-api',
    event_type: 'metric',
    timestamp: '2024-02-28T10:15:30.250Z',
    metric_name: 'http.server.duration',
    value: 12.5,
    ...fields,
  });
}

/** Lines, each with a line feed. */
export function lines(...all: string[]): string {
  return all.map((line) => `${line}\n`).join('');
}

export type Mix = 'mixed' | 'metric' | 'log' | 'trace';

export interface Tally {
  events: number;
  bytesReceived: number;
}

/** What a correct ingest must count, as the generator says. */
export interface Truth {
  lines: number;
  accepted: number;
  rejected: number;
  bytesReceived: number;
  /** Key: tenant, hour as 2026-11-24T11:00:00Z, type, with tabs between. */
  byTenantTypeHour: Record<string, Tally>;
  /** Key: tenant, service. */
  byTenantService: Record<string, Tally>;
  errors: Record<string, number>;
  rejects: { line: number; code: string; raw: string }[];
}

const GENERATOR = fileURLToPath(new URL('../../bench/generate.js', import.meta.url));

/** Writes generated events to a file of the folder; the newest is from now. */
export function generated(
  folder: string,
  options: { count: number; mix: Mix; seed: number; extras?: boolean; longLines?: number },
): { path: string; truth: Truth } {
  const path = join(folder, `${options.mix}.ndjson`);
  const truth = join(folder, `${options.mix}.truth.json`);
  const out = openSync(path, 'w');
  try {
    execFileSync(
      process.execPath,
      [
        GENERATOR,
        `--count=${options.count}`,
        `--mix=${options.mix}`,
        `--seed=${options.seed}`,
        `--long-lines=${options.longLines ?? 0}`,
        `--truth=${truth}`,
        ...(options.extras ? ['--extras'] : []),
      ],
      { stdio: ['ignore', out, 'inherit'] },
    );
  } finally {
    closeSync(out);
  }
  return { path, truth: JSON.parse(readFileSync(truth, 'utf8')) as Truth };
}
