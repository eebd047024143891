import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { releaseEngine } from './kept-engine.ts';

const BIN = fileURLToPath(new URL('../../bin/infrasage.js', import.meta.url));

/** A process that holds a data directory and shares it: infrasage serve. */
export interface Sharing {
  /** Ends it as a supervisor would, and waits until it has ended. */
  stop(): Promise<void>;
  /** Ends it at once, and waits until it has ended. */
  kill(): Promise<void>;
}

/**
 * Starts one, and waits until it serves.
 * @throws Error with its first words where it does not
 */
export async function sharing(dataDir: string): Promise<Sharing> {
  releaseEngine();
  const child = spawn(process.execPath, [BIN, '--data-dir', dataDir, 'serve', '--port', '0'], {
    env: { PATH: process.env.PATH, INFRASAGE_JWT_SECRET: 'a secret of tests, long enough for HS256' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const end = once(child, 'exit');
  const signal = async (name: NodeJS.Signals) => {
    child.kill(name);
    await end;
  };
  const said = createInterface({ input: child.stderr });
  for await (const line of said) {
    if (!line.startsWith('listening on')) continue;
    child.stderr.resume();
    return { stop: () => signal('SIGTERM'), kill: () => signal('SIGKILL') };
  }
  await end;
  throw new Error('infrasage serve has not started');
}

/** Does something beside a process that shares the data directory, and ends that. */
export async function beside<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  const process = await sharing(dataDir);
  try {
    return await work();
  } finally {
    await process.stop();
  }
}
