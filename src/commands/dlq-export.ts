import { createWriteStream, existsSync } from 'node:fs';
import type { Command } from 'commander';
import { EXIT, InfrasageError, usageError } from '../errors.ts';
import { type Output, write } from '../io.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { isWhole, letterPages } from '../reports/letter-pages.ts';
import { type Act, examples } from './command.ts';
import { type FilterOptions, filterOptions, letterFilter, parseState, stateOption } from './dlq-filter.ts';

const LF = Buffer.from('\n');

/** `dlq export`. */
export function configure(command: Command, act: Act): void {
  const exporting = stateOption(filterOptions(command.command('export')))
    .description('The lines of dead letters, byte for byte as sent, one a line, to be mended and ingested.')
    .option('--to <file>', 'write them to a new file instead of standard output');
  examples(exporting, [
    'infrasage dlq export --error invalid_json > fix.ndjson',
    'infrasage dlq export --since 24h --to fix.ndjson',
  ]);
  act<FilterOptions & { state: string; to?: string }>(
    exporting,
    async (context, { state, to, ...options }) => {
      const filter = { ...letterFilter(context, options), state: parseState(state) };
      const store = await context.store();
      const out = to === undefined ? context.io.stdout : newFile(to);
      let letters = 0;
      let bytes = 0;
      let cut = 0;
      for await (const page of letterPages(store, filter)) {
        // Who reads it has gone away.
        if (out.destroyed) break;
        const whole = page.letters.filter(isWhole);
        const lines = Buffer.concat(whole.flatMap(({ raw }) => [raw, LF]));
        await write(out, lines);
        letters += whole.length;
        bytes += lines.length;
        cut += page.letters.length - whole.length;
      }
      if (to !== undefined) await ended(out, to);
      await context.say(`${plural(letters, 'dead letter')} exported, ${formatBytes(bytes)}`);
      if (cut > 0) await context.say(`${formatCount(cut)} more left out: not all of the line was kept`);
      if (letters > 0) {
        await context.say('they stay dead letters: once they are ingested, do not replay them as well');
      }
      return EXIT.ok;
    },
  );
}

/** A file that is not there yet: what may have been mended by hand is not written over. */
function newFile(path: string): Output {
  if (existsSync(path))
    throw usageError(`there is a file ${path} already`, 'give another name, or remove it');
  const file = createWriteStream(path, { flags: 'wx' });
  // Told to write() and ended().
  file.on('error', () => {});
  return file;
}

async function ended(out: Output, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error) =>
      reject(new InfrasageError(`${path} cannot be written: ${error.message}`, { cause: error }));
    if (out.errored) fail(out.errored);
    out.once('error', fail);
    out.end(resolve);
  });
}
