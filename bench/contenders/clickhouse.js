// A genuine ClickHouse server from the engine's library, in a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { libchdbPath } from 'chdb/libchdb';

const LAUNCHER = fileURLToPath(new URL('../../test/helpers/clickhouse-server.py', import.meta.url));

/**
 * Starts one on an empty folder, on a free port of this machine.
 * @param {string} folder
 * @returns {Promise<{ url: string, stop(): Promise<void> }>}
 */
export async function startServer(folder) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  probe.close();
  const query = `SYSTEM START LISTEN HTTP; SELECT sum(sleepEachRow(0.1)) FROM numbers(1000000000)
    SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_threads = 1 FORMAT Null`;
  const options = [`--path=${folder}`, `--http_port=${port}`, '--listen_host=127.0.0.1'];
  const child = spawn('python3', [LAUNCHER, libchdbPath(), 'clickhouse', ...options, `--query=${query}`], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    const answer = await fetch(`${url}/ping`).catch(() => undefined);
    if (answer?.ok) break;
    if (child.exitCode !== null) throw new Error('the server did not start');
    await setTimeout(50);
  }
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** @param {string} url @param {string} statement @returns {Promise<string>} */
export async function askServer(url, statement) {
  const response = await fetch(url, { method: 'POST', body: statement });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text.trim();
}
