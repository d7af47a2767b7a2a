import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https';
import type { ListenOptions } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify, { type FastifyInstance } from 'fastify';
import { type Logger, type Random, systemRandom } from '../io/index.ts';
import { errorMessage } from '../model/index.ts';
import { agentRoutes } from './agent.ts';
import type { ClusterApi } from './cluster-api.ts';
import type { Engine } from './engine.ts';
import { httpFailure, invalid } from './failure.ts';
import { ManagerClient } from './forward.ts';
import { managerRoutes } from './manager.ts';
import type { NodeControl } from './node-control.ts';
import { sendError } from './reply.ts';
import { upgradeListener } from './upgrade.ts';
import { API_VERSION, checkVersion, splitVersion } from './versions.ts';

/** Base64 of the largest config (1000 KiB) and room for what is around it. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** How long an idle connection is kept. */
const KEEP_ALIVE_MS = 60_000;
const ANSWER_CHECK_MS = 5;

export interface ApiServerOptions {
  /** This host's containers and images: given in the agent, absent in the manager. */
  readonly engine?: Engine | undefined;
  /** The cluster's state: given in the manager, absent in the agent. */
  readonly cluster?: ClusterApi | undefined;
  /** Where the manager of this host listens; undefined while it has none. Agent only. */
  readonly clusterSocket?: string | (() => string | undefined) | undefined;
  /** This host's membership. Agent only; a manager is a member by being there. */
  readonly node?: NodeControl | undefined;
  readonly log: Logger;
  readonly random?: Random | undefined;
  /** Our own version, as the `Server` header and `GET /version` show it. */
  readonly version: string;
}

export interface ApiServer {
  /**
   * Listens on a unix socket (a stale one is replaced; mode 0660) or on a TCP address, with TLS when its options are
   * given. May be called several times.
   */
  listen(where: ListenOptions, tls?: TlsOptions): Promise<void>;
  /**
   * Stops listening, lets requests that have no answer yet have one within `graceMs` (0), and cuts what is still
   * connected: followed logs and events, idle clients.
   */
  close(graceMs?: number): Promise<void>;
}

/** The Engine API of a host (engine given) or of a manager process (cluster given). Throws when neither is. */
export async function createApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const versions = new WeakMap<IncomingMessage, string>();
  const app = Fastify({
    bodyLimit: BODY_BYTES_MAX,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1024 },
    rewriteUrl: (request) => {
      const { url, version } = splitVersion(request.url ?? '/');
      if (version !== undefined) versions.set(request, version);
      return url;
    },
  });
  setUp(app, options, (request) => versions.get(request));
  const manager = addRoutes(app, options);
  await app.ready();
  return new Listeners(app, options, manager);
}

function setUp(
  app: FastifyInstance,
  { log, version }: ApiServerOptions,
  versionOf: (request: IncomingMessage) => string | undefined,
): void {
  const everywhere = {
    server: `Docker/${version} (linux)`,
    'api-version': API_VERSION,
    ostype: 'linux',
    'docker-experimental': 'false',
  };
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(everywhere);
    checkVersion(versionOf(request.raw));
    done();
  });
  acceptBodies(app);
  app.setErrorHandler((error, request, reply) => {
    const failure = httpFailure(error);
    if (failure.status >= 500) {
      log.warn('request failed', { method: request.method, url: request.url, error });
    }
    return sendError(reply, failure);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendError(reply, { status: 404, message: 'page not found' }),
  );
}

/** JSON is parsed; tar archives and everything else reach the route as a stream. */
function acceptBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    try {
      done(null, JSON.parse(body.toString()));
    } catch (error) {
      done(invalid(`invalid JSON: ${errorMessage(error)}`, error));
    }
  });
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
}

function addRoutes(app: FastifyInstance, options: ApiServerOptions): ManagerClient | undefined {
  const { engine, cluster, clusterSocket, node, log, random = systemRandom, version } = options;
  if (engine && node) {
    const manager = new ManagerClient(
      (): string | undefined =>
        typeof clusterSocket === 'function' ? clusterSocket() : clusterSocket,
      node,
    );
    agentRoutes(app, { engine, node, manager, log, random, version });
    return manager;
  }
  if (!cluster) throw new TypeError('an API server needs a cluster, or an engine and a node');
  managerRoutes(app, { cluster, random, log }, version);
  return undefined;
}

/** One fastify application behind any number of sockets. */
class Listeners implements ApiServer {
  readonly #app: FastifyInstance;
  readonly #options: ApiServerOptions;
  readonly #manager: ManagerClient | undefined;
  readonly #servers: Server[] = [];
  readonly #open = new Set<ServerResponse>();

  constructor(app: FastifyInstance, options: ApiServerOptions, manager: ManagerClient | undefined) {
    this.#app = app;
    this.#options = options;
    this.#manager = manager;
  }

  async listen(where: ListenOptions, tls?: TlsOptions): Promise<void> {
    const server = tls ? createTlsServer(tls, this.#app.routing) : createServer(this.#app.routing);
    const { engine, log } = this.#options;
    server.requestTimeout = 0;
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.on('upgrade', upgradeListener(engine, log));
    server.on('request', (_request, response) => {
      this.#open.add(response);
      response.on('close', () => this.#open.delete(response));
    });
    if (where.path !== undefined) await rm(where.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, resolve);
    });
    if (where.path !== undefined) await chmod(where.path, 0o660);
    this.#servers.push(server);
  }

  async close(graceMs = 0): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    await this.#answered(graceMs);
    for (const server of this.#servers) server.closeAllConnections();
    await Promise.all(closed);
    this.#manager?.close();
    await this.#app.close();
  }

  /** Resolves when each answer is out, or is a stream that has begun; after `graceMs` in any case. */
  async #answered(graceMs: number): Promise<void> {
    const patience = AbortSignal.timeout(graceMs);
    for (const response of this.#open) {
      while (!patience.aborted && (!response.headersSent || response.writableEnded)) {
        if (!this.#open.has(response)) break;
        await sleep(ANSWER_CHECK_MS);
      }
    }
  }
}
