import { writeSync } from 'node:fs';
import type { Io } from '../io.ts';

/** The alternate screen, without a cursor; and back. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const END_OF_LINE = '\u001b[K';
const END_OF_SCREEN = '\u001b[J';

/** A terminal that is drawn on, line by line from its top. */
export interface FullScreen {
  width(): number;
  height(): number;
  /** Shows lines, as many as fit, in the place of what was shown. */
  show(lines: readonly string[]): void;
  /** Gives the terminal back as it was. */
  leave(): void;
}

/**
 * Takes a terminal's whole screen, and hears its keys. Given back by leave(), and at the latest when the process ends:
 * nobody is left with a terminal that shows no cursor.
 * @param hear.key called with each key that is pressed, as the terminal sends it
 * @param hear.resized called when the terminal has another size
 */
export function fullScreen(
  { stdin, stdout }: Pick<Io, 'stdin' | 'stdout'>,
  hear: { key(key: string): void; resized(): void },
): FullScreen {
  let taken = true;
  const onData = (data: Buffer | string) => {
    // Several keys may come at once; the sequence of a special key is one of none of ours.
    const text = data.toString();
    if (text.startsWith('\u001b') && text.length > 1) return;
    for (const key of text) hear.key(key);
  };
  const listens = stdin.isTTY === true && stdin.setRawMode !== undefined;
  const giveBack = () => {
    if (!taken) return;
    taken = false;
    if (listens) stdin.setRawMode?.(false);
    // At once: the process may be about to end.
    const { fd } = stdout as { fd?: number };
    if (fd === undefined) stdout.write(LEAVE);
    else writeAtOnce(fd, LEAVE);
  };
  process.once('exit', giveBack);
  if (listens) {
    stdin.setRawMode?.(true);
    stdin.on('data', onData);
    stdin.resume();
  }
  stdout.on('resize', hear.resized);
  stdout.write(ENTER);
  return {
    width: () => stdout.columns ?? 80,
    height: () => stdout.rows ?? 24,
    show(lines) {
      if (!taken) return;
      const shown = lines.slice(0, stdout.rows ?? 24);
      stdout.write(`${HOME}${shown.map((line) => line + END_OF_LINE).join('\r\n')}${END_OF_SCREEN}`);
    },
    leave() {
      stdin.off('data', onData);
      stdin.pause();
      stdout.off('resize', hear.resized);
      process.off('exit', giveBack);
      giveBack();
    },
  };
}

function writeAtOnce(descriptor: number, text: string): void {
  try {
    writeSync(descriptor, text);
  } catch {
    // The terminal is gone, and needs nothing any more.
  }
}
