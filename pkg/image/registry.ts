/**
 * A client of the registry HTTP API (OCI distribution-spec 1.1) with the token flow of the Docker registry
 * (distribution.github.io "Token Authentication Specification").
 */
import { Readable } from 'node:stream';
import { ClusterError, errorMessage } from '../model/index.ts';
import { type Digest, digestOf } from './content.ts';
import { MEDIA } from './manifest.ts';
import { familiarName, familiarRepository, type Reference } from './reference.ts';

/** As in Docker's `X-Registry-Auth`. */
export interface RegistryAuth {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly identitytoken?: string | undefined;
  readonly registrytoken?: string | undefined;
  readonly serveraddress?: string | undefined;
}

export interface RegistryOptions {
  /** Hosts or networks (`10.0.0.0/8` as a prefix is not supported) spoken to in plain HTTP when HTTPS fails. */
  readonly insecure?: readonly string[] | undefined;
  /** Base URLs asked before Docker Hub. */
  readonly mirrors?: readonly string[] | undefined;
}

interface RegistryRequest {
  readonly method?: 'HEAD' | 'POST' | 'PUT' | undefined;
  readonly accept: string;
  readonly type?: string | undefined;
  readonly length?: number | undefined;
  readonly body?: (() => Readable | Uint8Array) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface SendInit {
  readonly method?: string | undefined;
  readonly body?: URLSearchParams | Uint8Array | Readable | undefined;
  readonly headers?: Record<string, string> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
}

const MANIFEST_MAX_BYTES = 4 << 20;
const HEADERS_TIMEOUT_MS = 15_000;
const ACCEPT = [MEDIA.ociIndex, MEDIA.dockerList, MEDIA.ociManifest, MEDIA.dockerManifest].join(
  ', ',
);
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/;

export class RegistryClient {
  readonly #reference: Reference;
  readonly #bases: readonly string[];
  readonly #auth: RegistryAuth | undefined;
  #authorization: string | undefined;

  readonly #actions: 'pull' | 'pull,push';

  /** @param actions what a token is asked for */
  constructor(
    reference: Reference,
    auth?: RegistryAuth,
    options: RegistryOptions = {},
    actions: 'pull' | 'pull,push' = 'pull',
  ) {
    this.#actions = actions;
    this.#reference = reference;
    this.#auth = auth;
    this.#bases = basesOf(reference.domain, options);
  }

  /** @throws ClusterError with the words of `docker pull` */
  async manifest(tagOrDigest: string, signal?: AbortSignal): Promise<FetchedManifest> {
    const response = await this.#request(`manifests/${tagOrDigest}`, { accept: ACCEPT, signal });
    const bytes = await boundedBody(response, MANIFEST_MAX_BYTES);
    const digest = digestOf(bytes);
    if (tagOrDigest.startsWith('sha256:') && digest !== tagOrDigest) {
      throw new ClusterError('system', `manifest verification failed for digest ${tagOrDigest}`);
    }
    const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim() ?? '';
    return { bytes, digest, mediaType };
  }

  async blob(digest: Digest, signal?: AbortSignal): Promise<Readable> {
    const response = await this.#request(`blobs/${digest}`, { accept: '*/*', signal });
    if (!response.body) throw new ClusterError('system', `blob ${digest} has no content`);
    return Readable.fromWeb(response.body as import('node:stream/web').ReadableStream);
  }

  async hasBlob(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#request(`blobs/${digest}`, { method: 'HEAD', accept: '*/*', signal });
      return true;
    } catch (error) {
      if (error instanceof ClusterError && error.kind === 'not-found') return false;
      throw error;
    }
  }

  /** Whether the registry lets these credentials in (`GET /v2/`, distribution-spec "Determining Support"). @throws ClusterError */
  async ping(signal?: AbortSignal): Promise<void> {
    await this.#first((base) => this.#authorized(`${base}/v2/`, { accept: '*/*', signal }));
  }

  /** Uploads in one piece. `open` may be asked twice: the first try may only bring a challenge. */
  async putBlob(
    blob: { readonly digest: Digest; readonly size: number },
    open: () => Readable,
    signal?: AbortSignal,
  ): Promise<void> {
    const begun = await this.#request('blobs/uploads/', { method: 'POST', accept: '*/*', signal });
    const location = begun.headers.get('location');
    if (location === null) throw new ClusterError('system', 'the registry gave no upload location');
    const url = new URL(location, begun.url);
    url.searchParams.set('digest', blob.digest);
    await this.#authorized(url.href, {
      method: 'PUT',
      accept: '*/*',
      type: 'application/octet-stream',
      length: blob.size,
      body: open,
      signal,
    });
  }

  async putManifest(
    tag: string,
    manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#request(`manifests/${tag}`, {
      method: 'PUT',
      accept: '*/*',
      type: manifest.mediaType,
      body: () => manifest.bytes,
      signal,
    });
  }

  #request(path: string, options: RegistryRequest): Promise<Response> {
    return this.#first((base) =>
      this.#authorized(`${base}/v2/${this.#reference.path}/${path}`, options),
    );
  }

  async #first(ask: (base: string) => Promise<Response>): Promise<Response> {
    let failure: unknown;
    for (const base of this.#bases) {
      try {
        return await ask(base);
      } catch (error) {
        // The first answer of a real registry is the one that tells; a later base may still have it.
        failure =
          failure instanceof ClusterError && failure.kind !== 'unavailable' ? failure : error;
      }
    }
    throw failure;
  }

  async #authorized(url: string, options: RegistryRequest): Promise<Response> {
    let response = await send(url, requestInit(options, this.#authorization));
    const challenge = response.headers.get('www-authenticate');
    if (response.status === 401 && challenge !== null) {
      await response.body?.cancel();
      this.#authorization = await this.#answer(challenge, options.signal);
      response = await send(url, requestInit(options, this.#authorization));
    }
    if (response.ok) return response;
    throw await this.#refusal(response);
  }

  /** The Authorization header that a challenge asks for. */
  async #answer(challenge: string, signal?: AbortSignal): Promise<string> {
    const basic = basicOf(this.#auth);
    if (/^basic/i.test(challenge)) {
      if (basic === undefined) throw this.#denied('no basic auth credentials');
      return basic;
    }
    if (this.#auth?.registrytoken) return `Bearer ${this.#auth.registrytoken}`;
    const field = (name: string): string | undefined =>
      new RegExp(`${name}="([^"]*)"`, 'i').exec(challenge)?.[1];
    const realm = field('realm');
    if (realm === undefined) throw this.#denied('unusable authentication challenge');
    const scope = field('scope') ?? `repository:${this.#reference.path}:${this.#actions}`;
    const response = this.#auth?.identitytoken
      ? await refreshToken(realm, {
          service: field('service') ?? '',
          scope,
          token: this.#auth.identitytoken,
        })
      : await send(tokenUrl(realm, field('service'), scope), {
          headers: basic === undefined ? {} : { authorization: basic },
          signal,
        });
    if (!response.ok) {
      await response.body?.cancel();
      throw this.#denied(
        response.status === 401
          ? 'unauthorized: incorrect username or password'
          : `status ${response.status}`,
      );
    }
    const answer = (await response.json()) as { token?: string; access_token?: string };
    const token = answer.token ?? answer.access_token;
    if (token === undefined) throw this.#denied('the token server gave no token');
    return `Bearer ${token}`;
  }

  #denied(detail: string): ClusterError {
    return new ClusterError(
      'not-found',
      `pull access denied for ${familiarRepository(this.#reference)}, repository does not exist or may require 'docker login': ${detail}`,
    );
  }

  async #refusal(response: Response): Promise<ClusterError> {
    const { code, message } = await registryError(response);
    const name = familiarName(this.#reference);
    if (response.status === 401 || response.status === 403 || code === 'DENIED') {
      return this.#denied(`denied: ${message || 'requested access to the resource is denied'}`);
    }
    if (code === 'NAME_UNKNOWN') {
      return this.#denied('denied: requested access to the resource is denied');
    }
    if (response.status === 404) {
      return new ClusterError(
        'not-found',
        `manifest for ${name} not found: manifest unknown: ${message || 'manifest unknown'}`,
      );
    }
    if (response.status === 429) {
      return new ClusterError('unavailable', `toomanyrequests: ${message}`, { retry: true });
    }
    const retry = response.status >= 500;
    return new ClusterError(
      'system',
      `received unexpected HTTP status: ${response.status} ${message}`.trim(),
      { retry },
    );
  }
}

function requestInit(options: RegistryRequest, authorization: string | undefined): SendInit {
  const headers: Record<string, string> = { accept: options.accept };
  if (authorization !== undefined) headers['authorization'] = authorization;
  if (options.type !== undefined) headers['content-type'] = options.type;
  if (options.length !== undefined) headers['content-length'] = String(options.length);
  const { method, signal } = options;
  return { method, signal, headers, body: options.body?.() };
}

function basesOf(domain: string, options: RegistryOptions): readonly string[] {
  if (domain === 'docker.io') {
    const mirrors = (options.mirrors ?? []).map((mirror) => mirror.replace(/\/+$/, ''));
    return [...mirrors, 'https://registry-1.docker.io'];
  }
  if (LOOPBACK.test(domain)) return [`http://${domain}`];
  if (options.insecure?.includes(domain)) return [`https://${domain}`, `http://${domain}`];
  return [`https://${domain}`];
}

function basicOf(auth: RegistryAuth | undefined): string | undefined {
  if (!auth?.username) return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`;
}

function tokenUrl(realm: string, service: string | undefined, scope: string): string {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope);
  return url.href;
}

function refreshToken(
  realm: string,
  { service, scope, token }: { service: string; scope: string; token: string },
): Promise<Response> {
  const body = new URLSearchParams({
    grant_type: 'refresh_token',
    service,
    scope,
    client_id: 'muster',
    refresh_token: token,
  });
  return send(realm, { method: 'POST', body });
}

/** A request whose headers must arrive in time; the body may take as long as it likes. */
async function send(url: string, init: SendInit): Promise<Response> {
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new Error('timeout awaiting response headers')),
    HEADERS_TIMEOUT_MS,
  );
  const { signal: outer, ...rest } = init;
  const signal = outer ? AbortSignal.any([outer, timeout.signal]) : timeout.signal;
  try {
    // Node's fetch takes streams, and wants to be told that it sends before it reads.
    return await fetch(url, { ...rest, signal, duplex: 'half' } as RequestInit);
  } catch (error) {
    throw outer?.aborted ? cancelled(error) : unreachableRegistry(url, error);
  } finally {
    clearTimeout(timer);
  }
}

const cancelled = (cause: unknown): ClusterError =>
  new ClusterError('cancelled', 'context canceled', { cause });

function unreachableRegistry(url: string, cause: unknown): ClusterError {
  const text = `Get "${new URL(url).origin}/v2/": ${networkReason(cause)}`;
  return new ClusterError('unavailable', text, { cause, status: 500 });
}

/** fetch hides the reason one level down. */
function networkReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return errorMessage(cause ?? error) || 'connection failed';
}

async function registryError(response: Response): Promise<{ code: string; message: string }> {
  try {
    const text = (await boundedBody(response, 64 << 10)).toString('utf8');
    const parsed = JSON.parse(text) as { errors?: { code?: string; message?: string }[] };
    const first = parsed.errors?.[0];
    return { code: first?.code ?? '', message: first?.message ?? '' };
  } catch {
    // Proxies answer in HTML; the status alone must do.
    return { code: '', message: response.statusText };
  }
}

async function boundedBody(response: Response, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  if (!response.body) return Buffer.alloc(0);
  for await (const chunk of Readable.fromWeb(
    response.body as import('node:stream/web').ReadableStream,
  )) {
    parts.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > limit)
      throw new ClusterError('system', `answer of the registry exceeds ${limit} bytes`);
  }
  return Buffer.concat(parts);
}
