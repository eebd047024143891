// Runs a command to its end, and measures it as a whole process.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';

/**
 * @typedef {object} Run
 * @property {number} wallMs from start to end
 * @property {number} cpuMs user + system; 0 where it is not known
 * @property {number} peakBytes resident set at its largest, the mapped engine library included; of several processes, the largest; 0 where it is not known
 * @property {string} stdout
 */

/** @type {import('node:child_process').ChildProcess | undefined} */
let running;

/** Kills what is being measured. */
export function killRunning() {
  running?.kill('SIGKILL');
}

/**
 * Runs a command to its end.
 *
 * CPU time is what the kernel has charged to this process for the children it
 * waited for (cutime + cstime of /proc/self/stat): exact but for rounding to
 * 10 ms, since one child runs at a time. Peak memory is the kernel's high-water
 * mark (VmHWM), read every 20 ms: only a rise in the last 20 ms can be missed.
 * Both are there on Linux alone.
 * @param {readonly string[]} command
 * @param {{ input?: string | undefined }} [options] input: a file that becomes its standard input
 * @returns {Promise<Run>}
 * @throws {Error} where it does not end well, with what it said
 */
export async function measure([program = '', ...args], { input } = {}) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('INFRASAGE_')),
  );
  const file = input === undefined ? undefined : await open(input);
  const cpuBefore = cpuOfChildren();
  const start = performance.now();
  const child = spawn(program, args, {
    env: { ...env, NO_COLOR: '1' },
    stdio: [file?.fd ?? 'ignore', 'pipe', 'pipe'],
  });
  running = child;
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  let peakBytes = 0;
  const poll = setInterval(() => {
    for (const pid of processTree(child.pid)) peakBytes = Math.max(peakBytes, highWaterMark(pid));
  }, 20);
  let wallMs = 0;
  child.on('exit', () => {
    wallMs = performance.now() - start;
    clearInterval(poll);
  });
  const ending = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  running = undefined;
  await file?.close();
  if (ending !== 0) {
    throw new Error(
      `${[program, ...args].join(' ')}\nended with ${ending}:\n${(stderr || stdout).slice(-3000)}`,
    );
  }
  return { wallMs, cpuMs: cpuOfChildren() - cpuBefore, peakBytes, stdout };
}

/** In ms. Clock ticks are 10 ms on every Linux that Node runs on. */
function cpuOfChildren() {
  if (!existsSync('/proc/self/stat')) return 0;
  const stat = readFileSync('/proc/self/stat', 'utf8');
  // The second field, the name in brackets, may hold spaces; the rest starts with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return 10 * (Number(fields[16 - 3]) + Number(fields[17 - 3]));
}

/** A process and those it has started. @param {number | undefined} pid @returns {number[]} */
function processTree(pid) {
  if (pid === undefined) return [];
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    return [pid, ...children.flatMap((child) => processTree(Number(child)))];
  } catch {
    return [pid];
  }
}

/** In bytes; 0 where the process has gone. @param {number} pid */
function highWaterMark(pid) {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
