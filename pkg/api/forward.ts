import {
  Agent,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ClusterError, type ErrorKind, errorMessage } from '../model/index.ts';
import type { DockerJson } from './engine.ts';
import type { NodeControl } from './node-control.ts';
import { splitVersion } from './versions.ts';

const NOT_IN_SWARM =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const WORKER =
  "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
const LOCKED =
  'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.';

/** Hop-by-hop headers (RFC 9110 §7.6.1) belong to one connection and are not passed on. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te']);

/** An idle connection is given up here before the manager gives it up (`KEEP_ALIVE_MS`), so that no request meets its end. */
const IDLE_MS = 30_000;
/** A manager that ended is started again by its agent: that is worth waiting for, before a client is told. */
const RETURN_MS = 20_000;
const RETRY_MS = 100;

/** The manager process of this host, reached through its unix socket. */
export class ManagerClient {
  readonly #socketPath: () => string | undefined;
  readonly #node: NodeControl;
  readonly #agent = new Agent({ keepAlive: true, timeout: IDLE_MS });
  #closed = false;

  constructor(socketPath: () => string | undefined, node: NodeControl) {
    this.#socketPath = socketPath;
    this.#node = node;
  }

  /** Whether cluster requests can be made of this host at all. */
  get available(): boolean {
    return this.#socketPath() !== undefined;
  }

  close(): void {
    this.#closed = true;
    this.#agent.destroy();
  }

  /**
   * Hands the request to the manager, also to one that is being started anew, and streams its answer back. The body must
   * not have been parsed. `explain` may
   * have a better error than the manager's `not found`; it is asked about writes only.
   */
  async forward(
    request: FastifyRequest,
    reply: FastifyReply,
    explain: (message: string) => Promise<ClusterError | undefined>,
  ): Promise<FastifyReply> {
    const body = request.body instanceof Readable ? request.body : undefined;
    const answer = await this.#call(
      {
        method: request.method,
        path: request.raw.url ?? '/',
        headers: passedOn(request.headers),
      },
      body,
      RETURN_MS,
    );
    if (answer.statusCode === 404 && request.method === 'POST') {
      const message = messageOf(await textOf(answer));
      throw (await explain(message)) ?? new ClusterError('not-found', message);
    }
    reply.hijack();
    reply.raw.writeHead(answer.statusCode ?? 502, passedOn(answer.headers));
    // A stream's first byte may be far away; a short answer goes out in one packet.
    if (answer.headers['content-length'] === undefined) reply.raw.flushHeaders();
    reply.raw.on('close', () => answer.destroy());
    answer.on('error', () => reply.raw.destroy());
    answer.pipe(reply.raw);
    return reply;
  }

  /** A JSON request of our own; an error answer is thrown with the manager's status and message. */
  async json(method: string, path: string, body?: DockerJson): Promise<unknown> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = payload && {
      'content-type': 'application/json',
      'content-length': payload.length,
    };
    const answer = await this.#call({ method, path, headers: headers ?? {} }, payload);
    const text = await textOf(answer);
    const status = answer.statusCode ?? 500;
    if (status >= 400) throw new ClusterError(kindOf(status), messageOf(text), { status });
    return text.trim() === '' ? undefined : JSON.parse(text);
  }

  /** A streamed answer; destroyed when the signal fires. */
  async stream(path: string, signal: AbortSignal): Promise<Readable> {
    const answer = await this.#call({ method: 'GET', path, headers: {} }, undefined);
    signal.addEventListener('abort', () => answer.destroy(), { once: true });
    return answer;
  }

  #target(): string {
    const path = this.#socketPath();
    if (path !== undefined) return path;
    const { localNodeState, error } = this.#node.status();
    if (localNodeState === 'locked') throw new ClusterError('unavailable', LOCKED);
    if (localNodeState === 'inactive') throw new ClusterError('unavailable', NOT_IN_SWARM);
    const text = localNodeState === 'error' && error !== '' ? error : WORKER;
    throw new ClusterError('unavailable', text);
  }

  /**
   * Asks again for some time while the manager is started anew: what never reached it, and what changes nothing.
   * @throws ClusterError unavailable when it does not come back, or when a write that reached it was not answered
   */
  async #call(
    call: ManagerCall,
    body: Readable | Buffer | undefined,
    patienceMs = 0,
  ): Promise<IncomingMessage> {
    const giveUp = performance.now() + patienceMs;
    for (;;) {
      try {
        return await this.#once(this.#target(), call, body);
      } catch (error) {
        const again = error instanceof Unanswered && (!error.reached || call.method === 'GET');
        if (!again || this.#closed || performance.now() >= giveUp) throw plain(error, call.method);
      }
      await pause(RETRY_MS);
    }
  }

  #once(
    socketPath: string,
    call: ManagerCall,
    body: Readable | Buffer | undefined,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      let reached = false;
      const request = httpRequest({ ...call, socketPath, agent: this.#agent }, resolve);
      const send = (): void => {
        reached = true;
        if (body instanceof Readable) body.pipe(request);
        else request.end(body);
      };
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', send);
        else send();
      });
      request.on('error', (cause) => reject(new Unanswered(reached, cause)));
    });
  }
}

interface ManagerCall {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
}

class Unanswered extends ClusterError {
  /** It may have read the request. */
  readonly reached: boolean;

  constructor(reached: boolean, cause: Error) {
    const text = `the manager of this host does not answer: ${errorMessage(cause)}`;
    super('unavailable', text, { cause });
    this.reached = reached;
  }
}

/** What a lost answer means for who asked. */
function plain(error: unknown, method: string): unknown {
  if (!(error instanceof Unanswered && error.reached) || method === 'GET') return error;
  const text = `${error.message}; it ended before it said whether the change was made: look, and ask again if it was not`;
  return new ClusterError('unavailable', text, { cause: error });
}

function passedOn(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}

const KINDS: ReadonlyMap<number, ErrorKind> = new Map([
  [400, 'invalid'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [409, 'conflict'],
  [501, 'not-implemented'],
  [503, 'unavailable'],
]);

function kindOf(status: number): ErrorKind {
  return KINDS.get(status) ?? 'system';
}

/** Path and query as the manager shall see them: without the version prefix, which was checked here. */
export function unversioned(request: FastifyRequest): string {
  return splitVersion(request.raw.url ?? '/').url;
}
