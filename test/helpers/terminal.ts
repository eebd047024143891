import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import xterm from '@xterm/headless';
import type { Sandbox } from './cli.ts';
import { releaseEngine } from './kept-engine.ts';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));
const HELPER = fileURLToPath(new URL('screen.py', import.meta.url));

/** The program on a terminal of its own, and what that shows. */
export interface OnTerminal {
  /** The lines that are shown now. */
  lines(): string[];
  /** Waits until what is shown is so; the time limit of the test bounds it. */
  shows(what: RegExp): Promise<void>;
  press(keys: string): void;
  resize(columns: number, rows: number): void;
  signal(name: 'SIGINT' | 'SIGTERM'): void;
  /** Whether a program has the whole screen. */
  isTaken(): boolean;
  /** All that was written. */
  written(): string;
  /** How it ended, and whether the terminal is set as before. */
  ended: Promise<{ status: number; restored: boolean }>;
}

/** Starts the program on a terminal (Python's pty, read by xterm.js); of 0 columns and rows it does not know its size. */
export function onTerminal(
  box: Pick<Sandbox, 'dataDir' | 'folder'>,
  args: readonly string[],
  {
    columns = 80,
    rows = 24,
    env = {},
  }: { columns?: number; rows?: number; env?: Record<string, string> } = {},
): OnTerminal {
  const terminal = new xterm.Terminal({ cols: columns || 80, rows: rows || 24, allowProposedApi: true });
  releaseEngine();
  const child = spawn('python3', [HELPER, String(columns), String(rows), process.execPath, BIN, ...args], {
    cwd: box.folder,
    env: {
      PATH: process.env.PATH,
      HOME: box.folder,
      TERM: 'xterm-256color',
      LANG: 'C.UTF-8',
      INFRASAGE_DATA_DIR: box.dataDir,
      ...env,
    },
  });
  let written = '';
  let changed = () => {};
  child.stdout.on('data', (chunk: Buffer) => {
    written += chunk.toString();
    terminal.write(chunk, () => changed());
  });
  const said = text(child.stderr);
  const end = once(child, 'close');
  const lines = () =>
    Array.from(
      { length: terminal.rows },
      (_, i) =>
        terminal.buffer.active.getLine(terminal.buffer.active.viewportY + i)?.translateToString(true) ?? '',
    );
  const ask = (what: object) => void child.stdin.write(`${JSON.stringify(what)}\n`);
  return {
    lines,
    async shows(what) {
      while (!what.test(lines().join('\n'))) {
        const ended = await Promise.race([
          new Promise<false>((resolve) => {
            changed = () => resolve(false);
          }),
          end.then(() => true),
        ]);
        if (ended && !what.test(lines().join('\n')))
          throw new Error(`it has ended, and shows:\n${lines().join('\n')}`);
      }
    },
    press: (keys) => ask({ keys }),
    resize(wide, high) {
      terminal.resize(wide, high);
      ask({ size: [wide, high] });
    },
    signal: (name) => ask({ signal: name }),
    isTaken: () => terminal.buffer.active.type === 'alternate',
    written: () => written,
    ended: end.then(async () => JSON.parse((await said).trim().split('\n').at(-1) ?? '{}')),
  };
}
