import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import type { Readable } from 'node:stream';
import { splitHostPort } from '../../pkg/model/index.ts';
import { Failure } from './failure.ts';

const API_VERSION = 'v1.44';
/** Of the Engine API over TCP. */
const API_PORT = 2375;

/** The daemon's refusal: its own message and status. */
export class ApiError extends Failure {
  readonly status: number;
  constructor(status: number, message: string) {
    super(`Error response from daemon: ${message}`);
    this.status = status;
  }
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, unknown>> | undefined;
  readonly body?: unknown;
  readonly stream?: Readable | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** The Engine API of one host. */
export class Client {
  readonly #host: string;
  readonly #target: RequestOptions;

  constructor(host: string) {
    this.#host = host;
    this.#target = targetOf(host);
  }

  /** The parsed JSON answer. @throws ApiError, Failure when nobody answers */
  async json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.open(method, path, options);
    const text = await readText(response);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  get<T>(path: string, query?: CallOptions['query']): Promise<T> {
    return this.json<T>('GET', path, { query });
  }

  post<T>(path: string, body?: unknown, query?: CallOptions['query']): Promise<T> {
    return this.json<T>('POST', path, { body, query });
  }

  async delete(path: string, query?: CallOptions['query']): Promise<void> {
    await this.json('DELETE', path, { query });
  }

  /** The answer as it comes in; the caller reads the body. */
  async open(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const payload = options.body === undefined ? undefined : JSON.stringify(options.body);
    const type = payload === undefined ? {} : { 'content-type': 'application/json' };
    const length = payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) };
    const call = request({
      ...this.#target,
      method,
      path: `/${API_VERSION}${path}${queryText(options.query)}`,
      headers: { ...type, ...length, ...options.headers },
    });
    const response = await answerTo(call, this.#host, () => {
      if (options.stream) options.stream.pipe(call);
      else call.end(payload);
    });
    if ((response.statusCode ?? 0) >= 400) {
      throw new ApiError(response.statusCode ?? 0, messageOf(await readText(response)));
    }
    return response;
  }
}

/** `{"label":["a"]}` as the API's filters parameter. */
export function filters(terms: Readonly<Record<string, readonly string[]>>): string {
  return JSON.stringify(terms);
}

export async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function targetOf(host: string): RequestOptions {
  const [scheme, rest = ''] = host.split(/:\/\/(.*)/s);
  if (scheme === 'unix') return { socketPath: rest };
  if (scheme === 'tcp' || scheme === 'http') {
    const { host: hostname, port } = splitHostPort(rest.replace(/\/$/, ''), API_PORT);
    return { hostname, port };
  }
  throw new Failure(`cannot use host ${host}: say unix:///path/to.sock or tcp://address:port`);
}

function queryText(query: CallOptions['query']): string {
  const entries = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  if (entries.length === 0) return '';
  return `?${entries.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&')}`;
}

function answerTo(call: ClientRequest, host: string, send: () => void): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.on('response', resolve);
    call.on('error', (error: NodeJS.ErrnoException) => {
      const absent = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      const hint = absent
        ? 'is the agent running on this host? Start it, or name another host with -H or MUSTER_HOST'
        : error.message;
      reject(new Failure(`cannot reach the API at ${host}: ${hint}`, { cause: error }));
    });
    send();
  });
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text.trim();
  }
}
