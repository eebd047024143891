import { rmSync, writeSync } from 'node:fs';

/**
 * Ctrl-C and SIGTERM for a command that can end cleanly: the first asks it to,
 * the second ends the process at once, which recovery is made for.
 */
export function onInterrupt(tell: () => Promise<void>): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const handler = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) endBy(signal);
    void tell();
    controller.abort();
  };
  process.on('SIGINT', handler);
  process.on('SIGTERM', handler);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off('SIGINT', handler);
      process.off('SIGTERM', handler);
    },
  };
}

/**
 * Ends the process as the signal would without a handler: whoever started it is told so (130 of Ctrl-C). Not by exit(),
 * which would take the engine down with work under way.
 */
function endBy(signal: NodeJS.Signals): void {
  try {
    writeSync(2, 'infrasage: ended at once; the next command that writes settles what was under way\n');
  } catch {
    // The terminal is gone.
  }
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** Sees to it that a file is gone where Ctrl-C or SIGTERM ends the process, as they do without this, until keep(). */
export function removeWhenEnded(path: string): { keep(): void } {
  const handler = (signal: NodeJS.Signals) => {
    rmSync(path, { force: true });
    keep();
    process.kill(process.pid, signal);
  };
  const keep = () => {
    process.off('SIGINT', handler);
    process.off('SIGTERM', handler);
  };
  process.on('SIGINT', handler);
  process.on('SIGTERM', handler);
  return { keep };
}
