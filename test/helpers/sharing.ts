import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SHARE = fileURLToPath(new URL('share.js', import.meta.url));

/** A process that holds a data directory and shares it, as infrasage serve does. */
export interface Sharing {
  pid: number;
  /** Ends it as a supervisor would, and waits until it has ended. */
  stop(): Promise<void>;
  /** Ends it at once, and waits until it has ended. */
  kill(): Promise<void>;
}

/** Starts one, and waits until it shares. */
export async function sharing(dataDir: string): Promise<Sharing> {
  const child = spawn(process.execPath, [SHARE, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = ended(child);
  const ready = once(createInterface({ input: child.stdout }), 'line');
  await Promise.race([
    ready,
    end.then((status) => Promise.reject(new Error(`the sharing process ended with ${status}`))),
  ]);
  const signal = async (name: NodeJS.Signals) => {
    child.kill(name);
    await end;
  };
  return { pid: child.pid ?? 0, stop: () => signal('SIGTERM'), kill: () => signal('SIGKILL') };
}

async function ended(child: ChildProcess): Promise<number | null> {
  const [status] = (await once(child, 'exit')) as [number | null];
  return status;
}

/** Does something beside a process that shares the data directory, and ends that. */
export async function beside<T>(dataDir: string, work: (process: Sharing) => Promise<T>): Promise<T> {
  const process = await sharing(dataDir);
  try {
    return await work(process);
  } finally {
    await process.stop();
  }
}
