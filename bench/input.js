// The input of the benchmark, as its contenders take it, and what a correct ingest of it has stored.

import { createHash } from 'node:crypto';
import { closeSync, createReadStream, createWriteStream, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { generate } from './generate.js';

/**
 * @typedef {import('./generate.js').Truth} Truth
 * @typedef {import('./generate.js').GenerateOptions} GenerateOptions
 *
 * @typedef {object} Input
 * @property {string} mixed all lines
 * @property {string} gzip the same, compressed
 * @property {string} valid the valid lines alone, for those who cannot take others
 * @property {string} empty no lines
 * @property {Truth} truth
 * @property {number} bytes
 * @property {string} sha256
 */

/** @param {GenerateOptions} options @param {string} directory @returns {Promise<Input>} */
export async function writeInput(options, directory) {
  const files = {
    mixed: join(directory, 'events.ndjson'),
    gzip: join(directory, 'events.ndjson.gz'),
    valid: join(directory, 'valid.ndjson'),
    empty: join(directory, 'empty.ndjson'),
  };
  writeFileSync(files.empty, '');
  const { chunks, truth } = generate(options);
  const hash = createHash('sha256');
  const mixed = openSync(files.mixed, 'w');
  const valid = openSync(files.valid, 'w');
  let bytes = 0;
  let line = 0;
  let reject = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    bytes += chunk.length;
    writeFileSync(mixed, chunk);
    let kept = 0;
    for (let at = 0; at < chunk.length; ) {
      const end = chunk.indexOf(10, at) + 1;
      if (++line === truth.rejects[reject]?.line) {
        writeFileSync(valid, chunk.subarray(kept, at));
        kept = end;
        reject++;
      }
      at = end;
    }
    writeFileSync(valid, chunk.subarray(kept));
  }
  closeSync(mixed);
  closeSync(valid);
  await pipeline(createReadStream(files.mixed), createGzip({ level: 1 }), createWriteStream(files.gzip));
  return { ...files, truth, bytes, sha256: hash.digest('hex') };
}

/** The generator's tally in the form of `stored.js`. @param {Truth} truth */
export function tally(truth) {
  /** @param {Truth['byTenantService']} map */
  const table = (map) =>
    [...map].map(([key, { events, bytesReceived }]) => `${key}\t${events}\t${bytesReceived}`).sort();
  const usage = table(truth.byTenantTypeHour);
  return {
    firehose: usage,
    metering: usage,
    services: table(truth.byTenantService),
    errors: [...truth.errors].map(([code, lines]) => `${code}\t${lines}`).sort(),
    deadLetters: digest(truth.rejects.map(({ line, code, raw }) => [String(line), code, raw])),
  };
}

/** @param {string[][]} rows */
export function digest(rows) {
  const hash = createHash('sha256');
  for (const row of rows) hash.update(`${row.join('\t')}\n`);
  return `${rows.length} lines, sha256 ${hash.digest('hex')}`;
}

/** What was found and what was expected, in one line. @param {string} name @param {unknown} got @param {unknown} expected */
export function difference(name, got, expected) {
  if (!Array.isArray(got) || !Array.isArray(expected)) {
    return `${name}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`;
  }
  const [g, e] = [new Set(got.map(String)), new Set(expected.map(String))];
  const extra = [...g].filter((row) => !e.has(row));
  const missing = [...e].filter((row) => !g.has(row));
  return `${name}: ${extra.length} rows not expected (${extra[0]}), ${missing.length} missing (${missing[0]})`;
}
