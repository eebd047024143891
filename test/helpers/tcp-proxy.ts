import { once } from 'node:events';
import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';

export interface Fault {
  /**
   * When it happens:
   * - `request`: after so many bytes of a request's body, so that the server never has all of it;
   * - `sent`: when the server has all of a request and the client no answer, so that nobody knows what becomes of it;
   * - `done`: when the server has done what was asked, before the client hears of it;
   * - `answer`: after so many bytes of the answer, before its last one at the latest.
   */
  at: 'request' | 'sent' | 'done' | 'answer';
  /** Requests whose line and headers match; default any. */
  on?: RegExp;
  /** For `request` and `answer`; default 0. */
  bytes?: number;
  /**
   * - `cut` (default): the connection is reset;
   * - `half-close`: the client is told that nothing more comes, as by a server that ends in good order;
   * - `stall`: nothing more comes, and nobody is told;
   * - a number: what comes is held back for so many milliseconds.
   */
  how?: 'cut' | 'half-close' | 'stall' | number;
}

export interface ProxyOptions {
  /** Port on 127.0.0.1 that connections are passed on to. */
  to: number;
  /** Speaks TLS to the client, with this certificate. */
  tls?: { key: string; cert: string };
}

/**
 * Stands between a client and a server that speak HTTP/1.1, and makes connections fail. A fault that is
 * armed happens to one request, the first that matches.
 */
export class TcpProxy {
  readonly url: string;
  /** How many faults have happened. */
  struck = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #armed: Fault[] = [];

  private constructor(server: Server, tls: boolean) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.#server = server;
    this.url = `${tls ? 'https' : 'http'}://127.0.0.1:${address.port}`;
  }

  static async start({ to, tls }: ProxyOptions): Promise<TcpProxy> {
    const server = tls ? createTlsServer(tls) : createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TcpProxy(server, tls !== undefined);
    server.on(tls ? 'secureConnection' : 'connection', (client: Socket) => proxy.#pass(client, to));
    return proxy;
  }

  arm(fault: Fault): void {
    this.#armed.push(fault);
  }

  /** Forgets what was armed and has not happened. */
  disarm(): void {
    this.#armed = [];
  }

  /** Resets every connection that is open. */
  cut(): void {
    for (const socket of this.#sockets) {
      // A reset is not to be had of TLS.
      if (socket instanceof TLSSocket) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  /** Closes everything; from then on connections are refused. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #pass(client: Socket, to: number): void {
    const server = tcpConnect(to, '127.0.0.1');
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      // The other side is told by the close that follows.
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    const passage = new Passage(client, server, {
      take: (head) => {
        const fault = this.#armed.find(({ on }) => on === undefined || on.test(head));
        this.#armed = this.#armed.filter((other) => other !== fault);
        return fault;
      },
      struck: () => {
        this.struck += 1;
      },
    });
    relay(client, (chunk) => passage.up(chunk));
    relay(server, (chunk) => passage.down(chunk));
    client.on('end', () => server.end()).on('close', () => passage.clientGone());
    server.on('end', () => client.end()).on('close', () => client.destroy());
  }
}

/** Hands over what a socket brings, piece by piece: the next when the last is done with. */
function relay(from: Socket, pass: (chunk: Buffer) => Promise<void>): void {
  from.on('data', (chunk: Buffer) => {
    from.pause();
    void pass(chunk).then(() => from.resume());
  });
}

const HEAD_END = '\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

interface Hooks {
  /** The fault that is to happen to a request with this line and these headers. */
  take: (head: string) => Fault | undefined;
  struck: () => void;
}

/** One connection: requests one after the other, each answered before the next begins. */
class Passage {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #hooks: Hooks;
  #fault: Fault | undefined;
  /** Line and headers of the request, as far as they have come. */
  #head = '';
  /** Bytes of its body that have come. */
  #body = 0;
  /** The last bytes that have come, which show the end of a body in chunks. */
  #tail = '';
  #answer = Buffer.alloc(0);
  #answered = false;
  /** Whether nothing is passed on to the client any more. */
  #silent = false;
  #stalled = false;

  constructor(client: Socket, server: Socket, hooks: Hooks) {
    this.#client = client;
    this.#server = server;
    this.#hooks = hooks;
  }

  async up(chunk: Buffer): Promise<void> {
    if (this.#answered) this.#begin();
    this.#read(chunk);
    const fault = this.#fault;
    const over = this.#body - (fault?.bytes ?? 0);
    if (fault?.at === 'request' && over > 0) {
      await this.#write(this.#server, chunk.subarray(0, chunk.length - over));
      await this.#strike(fault);
      await this.#write(this.#server, chunk.subarray(chunk.length - over));
      return;
    }
    await this.#write(this.#server, chunk);
    if (fault?.at === 'sent' && isWhole(this.#head, this.#body, this.#tail)) await this.#strike(fault);
  }

  async down(chunk: Buffer): Promise<void> {
    this.#answered = true;
    const fault = this.#fault;
    if (fault?.at !== 'done' && fault?.at !== 'answer') return this.#write(this.#client, chunk);
    this.#answer = Buffer.concat([this.#answer, chunk]);
    // The server ends the head of its answer when it has done what was asked; before that it reports progress in it.
    const headEnd = this.#answer.indexOf(HEAD_END);
    const head = headEnd < 0 ? '' : this.#answer.toString('latin1', 0, headEnd + HEAD_END.length);
    const tail = this.#answer.toString('latin1', this.#answer.length - LAST_CHUNK.length);
    const ends = isWhole(head, this.#answer.length - head.length, tail);
    const wanted = fault.bytes ?? 0;
    const due = fault.at === 'done' ? headEnd >= 0 : ends || this.#answer.length > wanted;
    if (!due) return;
    const bytes = fault.at === 'answer' ? Math.min(wanted, this.#answer.length - 1) : 0;
    await this.#write(this.#client, this.#answer.subarray(0, bytes));
    await this.#strike(fault);
    await this.#write(this.#client, this.#answer.subarray(bytes));
  }

  /** The server is told, unless it is to finish what it has. */
  clientGone(): void {
    if (this.#silent) this.#server.end();
    else this.#server.destroy();
  }

  #begin(): void {
    this.#fault = undefined;
    this.#head = '';
    this.#body = 0;
    this.#tail = '';
    this.#answer = Buffer.alloc(0);
    this.#answered = false;
  }

  #read(chunk: Buffer): void {
    this.#tail = (this.#tail + chunk.toString('latin1')).slice(-LAST_CHUNK.length);
    if (this.#head.includes(HEAD_END)) {
      this.#body += chunk.length;
      return;
    }
    const text = this.#head + chunk.toString('latin1');
    const end = text.indexOf(HEAD_END);
    this.#head = end < 0 ? text : text.slice(0, end + HEAD_END.length);
    if (end < 0) return;
    this.#body = text.length - this.#head.length;
    this.#fault = this.#hooks.take(this.#head);
  }

  async #strike({ at, how = 'cut' }: Fault): Promise<void> {
    this.#fault = undefined;
    this.#hooks.struck();
    if (typeof how === 'number') return void (await setTimeout(how));
    this.#silent = at !== 'request';
    if (how === 'stall') this.#stalled = true;
    else if (how === 'half-close') this.#client.end();
    else this.#client.resetAndDestroy();
    if (at === 'request' && how !== 'stall') this.#server.resetAndDestroy();
    if (how !== 'cut') this.#silent = true;
  }

  async #write(to: Socket, chunk: Buffer): Promise<void> {
    if (chunk.length === 0 || to.destroyed || this.#stalled || (to === this.#client && this.#silent)) return;
    await new Promise<void>((resolve) => to.write(chunk, () => resolve()));
  }
}

/**
 * Whether all of a request or an answer has come.
 * @param head its first line and headers, empty where they have not come
 * @param body bytes of its body
 * @param tail the last bytes that have come
 */
function isWhole(head: string, body: number, tail: string): boolean {
  if (!head.includes(HEAD_END)) return false;
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) return body >= Number(length);
  return !/^transfer-encoding: *chunked/im.test(head) || tail === LAST_CHUNK;
}
