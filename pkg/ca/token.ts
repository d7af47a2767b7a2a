import { timingSafeEqual } from 'node:crypto';
import { ClusterError, type NodeRole } from '../model/index.ts';
import { rootDigest } from './root.ts';

/** `SWMTKN-1-<digest of the root certificate>-<secret>`; whoever has it may join in its role. */
const SHAPE = /^SWMTKN-(\d+)-([0-9a-z]+)-([0-9a-z]+)$/;
const DIGEST_LENGTH = 50;
const SECRET_LENGTH = 25;

export interface ParsedJoinToken {
  readonly rootDigest: string;
  readonly secret: string;
}

export interface JoinTokens {
  readonly worker: string;
  readonly manager: string;
}

/** A token that pins `rootPem`. `secret`: 25 characters of [0-9a-z], as `newObjectId` makes them. */
export function createJoinToken(rootPem: string, secret: string): string {
  return `SWMTKN-1-${rootDigest(rootPem)}-${secret}`;
}

/** Throws `invalid` with what is wrong in the text. */
export function parseJoinToken(text: string): ParsedJoinToken {
  const found = SHAPE.exec(text.trim());
  if (!found) throw new ClusterError('invalid', 'invalid join token');
  const [, version, digest = '', secret = ''] = found;
  if (version !== '1') {
    throw new ClusterError('invalid', `invalid join token: version ${version} is not supported`);
  }
  if (digest.length !== DIGEST_LENGTH || secret.length !== SECRET_LENGTH) {
    throw new ClusterError('invalid', 'invalid join token: it is cut or has extra characters');
  }
  return { rootDigest: digest, secret };
}

/** Throws `unauthorized` when the answering cluster is not the one the token was made for. */
export function checkRoot(token: string, rootPem: string): void {
  if (sameText(parseJoinToken(token).rootDigest, rootDigest(rootPem))) return;
  throw new ClusterError(
    'unauthorized',
    'remote CA does not match fingerprint: the join token belongs to another cluster, or somebody is between',
  );
}

/** Which role the token gives; compared in constant time. Throws `unauthorized` when it gives none. */
export function roleOfToken(token: string, tokens: JoinTokens): NodeRole {
  const manager = sameText(token.trim(), tokens.manager);
  const worker = sameText(token.trim(), tokens.worker);
  if (manager) return 'manager';
  if (worker) return 'worker';
  throw new ClusterError(
    'unauthorized',
    'A valid join token is necessary to join this cluster: the token is wrong or was rotated',
  );
}

function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
