/**
 * Names of images as Docker writes them (distribution/reference grammar): `nginx`, `user/app:1.2`,
 * `host:5000/a/b@sha256:…`. A familiar name is completed with `docker.io`, `library/` and `latest`.
 */
import { ClusterError } from '../model/index.ts';

export interface Reference {
  /** Registry host with port: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** `library/nginx`. */
  readonly path: string;
  readonly tag?: string | undefined;
  /** `sha256:…`. */
  readonly digest?: string | undefined;
}

const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$/;
const HEX_64 = /^[0-9a-f]{64}$/;
const NAME_MAX = 255;
const DEFAULT_DOMAIN = 'docker.io';

const invalid = (why = ''): ClusterError =>
  new ClusterError('invalid', `invalid reference format${why}`);

/**
 * Parses a name. The tag stays absent when the text has none; see `withDefaultTag`.
 * @throws ClusterError `invalid` in Docker's words
 */
export function parseReference(text: string): Reference {
  if (HEX_64.test(text)) {
    throw new ClusterError(
      'invalid',
      `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
    );
  }
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest)) throw invalid();
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) throw invalid();
  const { domain, path } = splitDomain(hasTag ? named.slice(0, colon) : named);
  if (!DOMAIN.test(domain)) throw invalid();
  if (path !== path.toLowerCase()) throw invalid(`: repository name (${path}) must be lowercase`);
  if (!path.split('/').every((component) => COMPONENT.test(component))) throw invalid();
  if (domain.length + path.length > NAME_MAX) {
    throw invalid(`: repository name must not be more than ${NAME_MAX} characters`);
  }
  return { domain, path, tag, digest };
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isDomain = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
  if (!isDomain) return { domain: DEFAULT_DOMAIN, path: slash < 0 ? `library/${name}` : name };
  const rest = name.slice(slash + 1);
  if (first !== DEFAULT_DOMAIN && first !== 'index.docker.io') return { domain: first, path: rest };
  return { domain: DEFAULT_DOMAIN, path: rest.includes('/') ? rest : `library/${rest}` };
}

/** Adds `latest` when there is neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: 'latest' };
}

/** `docker.io/library/nginx`, without tag and digest. */
export function repositoryOf(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** The repository as users type it: `nginx`, `user/app`, `localhost:5000/x`. */
export function familiarRepository(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return repositoryOf(reference);
  return reference.path.startsWith('library/') ? reference.path.slice(8) : reference.path;
}

/** The whole name as users type it, tag and digest included when present. */
export function familiarName(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${familiarRepository(reference)}${tag}${digest}`;
}
