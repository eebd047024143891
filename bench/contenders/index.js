// Who is measured. Each runs as a process of its own on a fresh directory, and says what it has done.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { difference, tally } from '../input.js';
import { measure } from '../process.js';
import { askServer, startServer } from './clickhouse.js';

/**
 * @typedef {import('../input.js').Input} Input
 * @typedef {import('../process.js').Run} Run
 * @typedef {Run & { workMs: number, storedBytes?: number }} Sample workMs: its own time for the work alone; storedBytes: of the events, once parts are merged
 *
 * @typedef {object} Contender
 * @property {string} title
 * @property {() => boolean} [isHere] whether it can run on this machine; it can where this is not given
 * @property {(input: Input, directory: string) => Promise<{ sample: Sample, differences: string[] }>} run
 */

const PROGRAM = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));
const STORED = fileURLToPath(new URL('../stored.js', import.meta.url));
const PLAIN_STORED = fileURLToPath(new URL('plain-stored.js', import.meta.url));
const script = (/** @type {string} */ file) => fileURLToPath(new URL(file, import.meta.url));
const node = (/** @type {string[]} */ ...args) => [process.execPath, ...args];

/** @param {string} name @param {unknown} got @param {unknown} expected @returns {string[]} */
const compare = (name, got, expected) =>
  JSON.stringify(got) === JSON.stringify(expected) ? [] : [difference(name, got, expected)];

/** @param {string} stdout what `ingest --json` printed @param {Input} input */
function summaryDifferences(stdout, { truth }) {
  const { lines, accepted, rejected, skipped, bytes_received, errors } = JSON.parse(stdout);
  return [
    ...compare('lines', lines, truth.lines),
    ...compare('accepted', accepted, truth.accepted),
    ...compare('rejected', rejected, truth.rejected),
    ...compare('skipped', skipped, 0),
    ...compare('bytes_received', bytes_received, truth.bytesReceived),
    ...compare('errors', Object.entries(errors).sort(), [...truth.errors].sort()),
  ];
}

/**
 * @param {string} title
 * @param {(input: Input) => { args: string[], input?: string }} from
 * @returns {Contender}
 */
const ingest = (title, from) => ({
  title,
  async run(input, directory) {
    const { args, input: stdin } = from(input);
    const command = node(PROGRAM, 'ingest', ...args, '--data-dir', directory, '--json');
    const run = await measure(command, { input: stdin });
    const { stored, bytes } = JSON.parse((await measure(node(STORED, directory))).stdout);
    const expected = Object.entries(tally(input.truth));
    return {
      sample: { ...run, workMs: JSON.parse(run.stdout).elapsed_ms, storedBytes: bytes },
      differences: [
        ...summaryDifferences(run.stdout, input),
        ...expected.flatMap(([name, rows]) => compare(`stored ${name}`, stored[name], rows)),
      ],
    };
  },
});

/**
 * @param {string} title
 * @param {(input: Input, directory: string) => string[]} command prints work_ms
 * @param {{ exact?: boolean, isHere?: () => boolean }} [options] exact: it must store the valid lines, and no other
 * @returns {Contender}
 */
const other = (title, command, { exact = true, isHere } = {}) => ({
  title,
  ...(isHere && { isHere }),
  async run(input, directory) {
    const run = await measure(command(input, directory));
    const { rows, stored_bytes } = JSON.parse((await measure(node(PLAIN_STORED, directory))).stdout);
    return {
      sample: { ...run, workMs: JSON.parse(run.stdout).work_ms, storedBytes: stored_bytes },
      differences: exact ? compare(`rows of ${title}`, rows, input.truth.accepted) : [],
    };
  },
});

/** What a pipe that begins with jq would check: it lets through more than the event contract does. */
const JQ_FILTER = `fromjson? | select(type == "object"
  and (.tenant_id | type) == "string" and (.service_id | type) == "string" and (.timestamp | type) == "string"
  and (.event_type | IN("metric", "log", "trace", "event", "profile", "slo"))
  and (.timestamp | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)$"))
  and (.attributes | type | IN("object", "null")) and (.value | type | IN("number", "null"))
  and ([.metric_name, .body, .trace_id] | all(type | IN("string", "null"))))`;

/** @type {Record<string, Contender>} */
export const CONTENDERS = {
  ingest: ingest('infrasage ingest FILE', (input) => ({ args: [input.mixed] })),
  stdin: ingest('infrasage ingest < FILE', (input) => ({ args: [], input: input.mixed })),
  gzip: ingest('infrasage ingest FILE.gz', (input) => ({ args: [input.gzip] })),
  server: {
    title: 'infrasage ingest, on a server',
    async run(input, directory) {
      const server = await startServer(join(directory, 'server'));
      try {
        const place = ['--clickhouse', server.url, '--data-dir', join(directory, 'client')];
        const run = await measure(node(PROGRAM, 'ingest', input.mixed, ...place, '--json'));
        const metered = await askServer(
          server.url,
          'SELECT sum(event_count) FROM infrasage.infrasage_usage_metering',
        );
        // Its CPU time and memory are the client's alone: that of the server is not told apart.
        return {
          sample: { ...run, cpuMs: 0, peakBytes: 0, workMs: JSON.parse(run.stdout).elapsed_ms },
          differences: [
            ...summaryDifferences(run.stdout, input),
            ...compare('metered on the server', Number(metered), input.truth.accepted),
          ],
        };
      } finally {
        await server.stop();
      }
    },
  },
  plain: other('plain INSERT', (input, directory) => node(script('plain-insert.js'), directory, input.valid)),
  tuned: other('plain INSERT, tuned', (input, directory) =>
    node(script('plain-insert.js'), directory, input.valid, 'tuned'),
  ),
  script: other(
    'hand-written script',
    (input, directory) => node(script('script.js'), directory, input.mixed),
    { exact: false },
  ),
  jq: other(
    'jq | plain INSERT',
    (input, directory) => [
      'bash',
      '-c',
      'set -o pipefail; filter=$1 lines=$2; shift 2; jq -Rc "$filter" "$lines" | "$@"',
      'bash',
      JQ_FILTER,
      input.mixed,
      ...node(script('plain-insert.js'), directory, '/dev/stdin', 'lenient'),
    ],
    { exact: false, isHere: () => spawnSync('jq', ['--version']).status === 0 },
  ),
};
