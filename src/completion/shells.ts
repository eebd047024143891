import { printable } from '../render/text.ts';
import type { Candidate, Candidates } from './candidates.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * What each shell runs to complete infrasage. They ask the program itself what could come next, with __complete: its
 * answer is the kind in the first line, and where that is words, a word a line with a tab and what it is after it.
 */
export const SCRIPTS: Record<Shell, string> = {
  bash: `# bash completion of infrasage
#   source <(infrasage completion bash)
_infrasage() {
  local current=\${COMP_WORDS[COMP_CWORD]} kind='' word
  # readline splits at = and : too, and replaces only what comes after.
  case $current in =|:) current='' ;; esac
  COMPREPLY=()
  while IFS= read -r word; do
    if [ -z "$kind" ]; then kind=$word; else COMPREPLY+=("$word"); fi
  done < <(infrasage __complete bash -- "\${COMP_LINE:0:COMP_POINT}" "$current" 2>/dev/null)
  case $kind in
    files) compopt -o default 2>/dev/null ;;
    directories) compopt -o dirnames 2>/dev/null ;;
  esac
}
complete -F _infrasage infrasage
`,
  zsh: `#compdef infrasage
# zsh completion of infrasage: in a folder of $fpath as _infrasage, or
#   source <(infrasage completion zsh)
_infrasage() {
  local kind line word
  local -a lines words_found
  lines=("\${(@f)$(infrasage __complete zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  kind=$lines[1]
  case $kind in
    files) _files ;;
    directories) _files -/ ;;
    *)
      for line in "\${(@)lines[2,-1]}"; do
        word=\${\${line%%$'\\t'*}//:/\\\\:}
        [[ $line == *$'\\t'* ]] && word+=:\${line#*$'\\t'}
        words_found+=("$word")
      done
      _describe infrasage words_found
      ;;
  esac
}
if [ "$funcstack[1]" = _infrasage ]; then _infrasage "$@"; else compdef _infrasage infrasage; fi
`,
  fish: `# fish completion of infrasage
#   infrasage completion fish > ~/.config/fish/completions/infrasage.fish
function __infrasage_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (infrasage __complete fish -- $before[2..-1] "$current" 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current"
        case '*'
            printf '%s\\n' $lines[2..-1]
    end
end
complete -c infrasage -f -a '(__infrasage_complete)'
`,
};

/**
 * The words that a shell hands over, as they are on the command line after the program's name.
 * @param handed of bash the line up to the cursor and what it takes for the word; of the others the words
 */
export function wordsOf(shell: Shell, handed: readonly string[]): string[] {
  return shell === 'bash' ? splitLine(handed[0] ?? '') : [...handed];
}

/** The answer as a shell reads it. */
export function answerTo(shell: Shell, found: Candidates, handed: readonly string[]): string {
  if (found.kind !== 'words') return `${found.kind}\n`;
  // What cannot be shown as it is cannot be chosen either.
  const words = found.words.filter(({ word }) => printable(word) === word);
  const lines = shell === 'bash' ? bashWords(words, handed) : words.map(described);
  return `words\n${lines.map((line) => `${line}\n`).join('')}`;
}

function described({ word, what }: Candidate): string {
  return what === '' ? word : `${word}\t${printable(what)}`;
}

/** What a word may not have where it is put between these quotes as it is: it would end them, or be expanded. */
const UNSAFE: Record<string, RegExp> = { "'": /'/, '"': /["$`\\!]/ };

/** Without what readline leaves in place, and as bash would have them typed. */
function bashWords(words: readonly Candidate[], [line = '', typed = '']: readonly string[]): string[] {
  const unsafe = UNSAFE[typed.charAt(0)];
  if (unsafe) return words.map(({ word }) => word).filter((word) => !unsafe.test(word));
  const whole = splitLine(line).at(-1) ?? '';
  const kept = whole.endsWith(typed) ? whole.length - typed.length : 0;
  return words.map(({ word }) => word.slice(kept).replace(/[^\w@%+=:,./-]/gu, '\\$&'));
}

/** The words after the program's name, as a shell reads a line that may stop anywhere; the last may be ''. */
function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (quote === "'" || (quote === '"' && c !== '\\')) {
      if (c === quote) quote = '';
      else word = (word ?? '') + c;
    } else if (c === '\\') {
      i += 1;
      word = (word ?? '') + line.charAt(i);
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + c;
    }
  }
  words.push(word ?? '');
  // Variables may be set before the program's name.
  const name = words.findIndex((one) => !/^\w+=/.test(one));
  return words.slice(name + 1);
}
