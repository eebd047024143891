import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

/** A mail as a server has taken it. */
export interface Mail {
  from: string;
  to: string[];
  /** Headers and body as sent. */
  raw: string;
}

export interface MailServer {
  url: string;
  mails: Mail[];
  close(): Promise<void>;
}

/**
 * A real SMTP server on a free port, or on the one given.
 * @param options.password what it asks for; without, it asks for nothing
 */
export async function mailServer(options: { port?: number; password?: string } = {}): Promise<MailServer> {
  const { port = 0, password } = options;
  const mails: Mail[] = [];
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', ...(password === undefined ? ['AUTH'] : [])],
    authOptional: password === undefined,
    allowInsecureAuth: true,
    logger: false,
    onAuth: (auth, _, done) =>
      auth.password === password ? done(null, { user: 'user' }) : done(new Error('not this password')),
    onData(stream, { envelope }, done) {
      const pieces: Buffer[] = [];
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      stream.on('end', () => {
        const from = envelope.mailFrom ? envelope.mailFrom.address : '';
        mails.push({
          from,
          to: envelope.rcptTo.map(({ address }) => address),
          raw: Buffer.concat(pieces).toString(),
        });
        done();
      });
    },
  });
  server.on('error', () => {});
  server.listen(port, '127.0.0.1');
  await once(server.server, 'listening');
  const bound = (server.server.address() as AddressInfo).port;
  return {
    url: `smtp://127.0.0.1:${bound}`,
    mails,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** A request as a server has received it. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Receiver {
  url: string;
  host: string;
  received: Received[];
  /** How the next requests are answered, in turn; then with 200. */
  answers: ((response: ServerResponse) => void)[];
  close(): Promise<void>;
}

/** A real HTTP server that keeps what it is sent. */
export async function receiver(): Promise<Receiver> {
  const received: Received[] = [];
  const answers: Receiver['answers'] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      received.push({ path, headers, body: Buffer.concat(pieces).toString() });
      const answer = answers.shift() ?? ((ok: ServerResponse) => ok.end('ok'));
      answer(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}`,
    host,
    received,
    answers,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Answers with a status, and headers. */
export function status(code: number, headers: Record<string, string> = {}): (r: ServerResponse) => void {
  return (response) => response.writeHead(code, headers).end(`status ${code}`);
}
