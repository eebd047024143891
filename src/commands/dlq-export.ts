import type { Command } from 'commander';
import { EXIT } from '../errors.ts';
import { write } from '../io.ts';
import { formatBytes, formatCount, plural } from '../render/text.ts';
import { isWhole, letterPages } from '../reports/letter-pages.ts';
import { type Act, examples } from './command.ts';
import { type FilterOptions, filterOptions, letterFilter, parseState, stateOption } from './dlq-filter.ts';
import { fillFile, outputFile, refuseTerminal } from './output-file.ts';

const LF = Buffer.from('\n');

/** `dlq export`. */
export function configure(command: Command, act: Act): void {
  const exporting = stateOption(filterOptions(command.command('export')))
    .description('The lines of dead letters, byte for byte as sent, one a line, to be mended and ingested.')
    .option('--to <file>', 'write them to a file instead of standard output')
    .option('--force', 'replace a file that is there');
  examples(exporting, [
    'infrasage dlq export --error invalid_json > fix.ndjson',
    'infrasage dlq export --since 24h --to fix.ndjson',
  ]);
  act<FilterOptions & { state: string; to?: string; force?: boolean }>(
    exporting,
    async (context, { state, to, force = false, ...options }) => {
      const filter = { ...letterFilter(context, options), state: parseState(state) };
      if (to === undefined) {
        refuseTerminal(
          context.io,
          'lines as they were sent are',
          'name a file: --to fix.ndjson; or pipe them',
        );
      }
      const output = to === undefined ? undefined : await outputFile(to, { force });
      const store = await context.store();
      let letters = 0;
      let bytes = 0;
      let cut = 0;
      const writeTo = async (put: (lines: Buffer) => Promise<boolean>) => {
        for await (const page of letterPages(store, filter)) {
          const whole = page.letters.filter(isWhole);
          const lines = Buffer.concat(whole.flatMap(({ raw }) => [raw, LF]));
          if (!(await put(lines))) break;
          letters += whole.length;
          bytes += lines.length;
          cut += page.letters.length - whole.length;
        }
      };
      if (output) {
        await fillFile(output, (file) => writeTo((lines) => file.appendFile(lines).then(() => true)));
      } else {
        const { stdout } = context.io;
        await writeTo(async (lines) => {
          // Who reads it has gone away.
          if (stdout.destroyed) return false;
          await write(stdout, lines);
          return true;
        });
      }
      await context.say(`${plural(letters, 'dead letter')} exported, ${formatBytes(bytes)}`);
      if (cut > 0) await context.say(`${formatCount(cut)} more left out: not all of the line was kept`);
      if (letters > 0) {
        await context.say('they stay dead letters: once they are ingested, do not replay them as well');
      }
      return EXIT.ok;
    },
  );
}
