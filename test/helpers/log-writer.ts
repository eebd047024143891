import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Tally } from './events.ts';

const TENANTS = ['acme-corp', 'globex', 'initech'];
const TYPES = ['metric', 'log', 'trace'];

/** A program that writes a log, the rotation of it, and what must be counted of all that it ever wrote. */
export class LogWriter {
  readonly path: string;
  readonly #random: () => number;
  #serial = 0;
  /** The rest of a line of which the start is written. */
  #rest = '';
  lines = 0;
  readonly byTenantTypeHour: Record<string, Tally> = {};
  readonly rejected: string[] = [];

  /** @param random from 0 to 1 */
  constructor(path: string, random: () => number) {
    this.path = path;
    this.#random = random;
  }

  /** Writes so many lines, one of 20 of them no event. */
  write(count: number): void {
    const text = Array.from({ length: count }, () => this.#line()).join('');
    appendFileSync(this.path, this.#rest + text);
    this.#rest = '';
  }

  /** Writes the start of a line; the next write has the rest. */
  writeHalf(): void {
    const line = this.#line();
    appendFileSync(this.path, this.#rest + line.slice(0, line.length >> 1));
    this.#rest = line.slice(line.length >> 1);
  }

  /** Finishes a line that was begun. */
  finishLine(): void {
    if (this.#rest) this.write(0);
  }

  /** Gives the file another name, the older ones too, and begins a new one. */
  rename(): void {
    this.#shift();
    renameSync(this.path, `${this.path}.1`);
    writeFileSync(this.path, '');
  }

  /** Copies the file and cuts it off. */
  copyTruncate(): void {
    this.#shift();
    copyFileSync(this.path, `${this.path}.1`);
    truncateSync(this.path);
  }

  /** Cuts it off; what is not read yet is lost. */
  truncate(): void {
    truncateSync(this.path);
  }

  /** Deletes it and begins a new one; what is not read yet is lost where nothing has it open. */
  recreate(): void {
    rmSync(this.path);
    writeFileSync(this.path, '');
  }

  /** Compresses the rotated files that are not yet compressed, as gzip does: with their times. */
  compress(): void {
    for (const path of this.#rotated().filter((name) => !name.endsWith('.gz'))) {
      const { atime, mtime } = statSync(path);
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
      utimesSync(`${path}.gz`, atime, mtime);
      rmSync(path);
    }
  }

  #rotated(): string[] {
    const folder = dirname(this.path);
    return readdirSync(folder)
      .filter((name) => name.startsWith(`${basename(this.path)}.`))
      .map((name) => join(folder, name));
  }

  /** app.log.1 becomes app.log.2, and so on. */
  #shift(): void {
    this.finishLine();
    const number = (path: string) => Number(/\.(\d+)(\.gz)?$/.exec(path)?.[1]);
    for (const path of this.#rotated().sort((a, b) => number(b) - number(a))) {
      const next = path.replace(/\.\d+(?=(\.gz)?$)/, `.${number(path) + 1}`);
      if (existsSync(next)) throw new Error(`${next} is there`);
      renameSync(path, next);
    }
  }

  #line(): string {
    this.#serial += 1;
    this.lines += 1;
    if (this.#random() < 0.05) {
      const raw = `no json ${this.#serial}`;
      this.rejected.push(raw);
      return `${raw}\n`;
    }
    const pick = (from: readonly string[]) => from[Math.floor(this.#random() * from.length)] ?? '';
    const [tenant, type] = [pick(TENANTS), pick(TYPES)];
    const hour = `2026-04-${String(1 + Math.floor(this.#random() * 2)).padStart(2, '0')}T10:00:00Z`;
    const line = JSON.stringify({
      tenant_id: tenant,
      service_id: `s${this.#serial}`,
      event_type: type,
      timestamp: hour.replace('00:00Z', '15:30.250Z'),
    });
    const key = `${tenant}\t${hour}\t${type}`;
    const tally = this.byTenantTypeHour[key] ?? { events: 0, bytesReceived: 0 };
    this.byTenantTypeHour[key] = tally;
    tally.events += 1;
    tally.bytesReceived += line.length;
    return `${line}\n`;
  }
}
