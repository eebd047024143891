import { existsSync, readFileSync } from 'node:fs';

/** The package's folder: this module is at different depths in it, as a source and built. */
const ROOT = rootAbove(new URL('.', import.meta.url));

/** A file of the package, by its path in it. */
export function packageFile(path: string): URL {
  return new URL(path, ROOT);
}

/** The version of this program, from its package. */
export function programVersion(): string {
  const text = readFileSync(packageFile('package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function rootAbove(folder: URL): URL {
  return existsSync(new URL('package.json', folder)) ? folder : rootAbove(new URL('..', folder));
}
