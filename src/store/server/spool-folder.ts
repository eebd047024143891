import type { ServerAddress } from '../../config.ts';

/** Where in a data directory the batches for a database of a server are spooled: a folder in a folder. */
export function spoolFolders(address: ServerAddress, database: string): string[] {
  return ['servers', folderOf(address), database];
}

/** A server's folder for spool files, by the name it is called by. */
function folderOf({ url }: ServerAddress): string {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return `${url.hostname}_${port}${url.pathname}`.replaceAll(/[^\w.-]/g, '_').replace(/_+$/, '');
}
