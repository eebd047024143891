import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HttpProblem } from './problem.ts';

/** Largest body, bytes; a route may set its own. */
export const MAX_BODY = 1024 * 1024;
/** Largest header, bytes: a token of the longest kind fits twice. */
export const MAX_HEADER = 16 * 1024;
/** Longest part of a path that is a parameter, characters. */
export const MAX_PARAM = 256;
/** Connections at the same time; more are closed at once. */
export const MAX_CONNECTIONS = 4_000;
/** The header of a request must be there within, ms. */
export const HEADER_TIME = 10_000;
/** The body of a request must be there within, ms. */
export const BODY_TIME = 30_000;
/** A connection on which nothing moves is closed after, ms. It bounds how long an answer may take. */
export const IDLE = 120_000;
/** A connection waits for the next request for, ms. */
export const KEEP_ALIVE = 65_000;

/** Requests that are still under way once the server stops and all telemetry is answered are cut off after, ms. */
const LAST_REQUESTS = 10_000;
/** How often a server that stops looks for connections that have become idle, ms. */
const LOOK = 100;

/**
 * Bounds how long clients can keep a server from ending. To be called after whatever must be finished, however long
 * that takes, has its own preClose hook: these run one after the other.
 */
export function limitClosing(app: FastifyInstance): void {
  app.addHook('preClose', async () => {
    const { server } = app;
    const last = setTimeout(() => server.closeAllConnections(), LAST_REQUESTS).unref();
    // Node closes those that are idle when it stops to listen, and not those that are answered after that.
    const idle = setInterval(() => server.closeIdleConnections(), LOOK).unref();
    server.once('close', () => {
      clearTimeout(last);
      clearInterval(idle);
    });
  });
}

/**
 * Ends requests whose body comes too slowly. Node's own limit is one for all routes, and would end a
 * stream too.
 */
export function limitBodyTime(app: FastifyInstance, time: number): void {
  app.addHook('preParsing', async (request, reply, payload) => {
    const { raw } = request;
    if (raw.complete) return payload;
    const timer = setTimeout(() => {
      reply.header('connection', 'close');
      // Whoever reads the body answers; where nobody does, there is nobody to answer to.
      if (payload.listenerCount('error') > 0)
        payload.emit('error', new HttpProblem(408, 'the body did not arrive in time'));
      else raw.destroy();
    }, time);
    bodyTimers.set(raw, timer);
    const done = () => clearTimeout(timer);
    raw.once('end', done).once('close', done);
    return payload;
  });
}

const bodyTimers = new WeakMap<IncomingMessage, NodeJS.Timeout>();

/** Lets a body take any time from now on, as a stream does; it must still not pause for IDLE. */
export function liftBodyTime({ raw }: FastifyRequest): void {
  clearTimeout(bodyTimers.get(raw));
}
