import { X509Certificate } from 'node:crypto';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { ClusterId, NodeId, NodeRole } from '../model/index.ts';

/** Managers have this name in their certificates, wherever they are. */
export const MANAGER_NAME = 'swarm-manager';

/** Who this process is to others, with the proof. */
export interface Identity {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  readonly clusterId: ClusterId;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly rootPem: string;
}

type Listener = (identity: Identity) => void;

/** The identity in force. After a renewal new connections use the new one; open ones live on. */
export class Credentials {
  #identity: Identity;
  readonly #listeners = new Set<Listener>();

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  get identity(): Identity {
    return this.#identity;
  }

  replace(identity: Identity): void {
    this.#identity = identity;
    for (const listener of this.#listeners) listener(identity);
  }

  /** Calls `listener` at every replacement until the returned function is called. */
  onReplace(listener: Listener): () => void {
    this.#listeners.add(listener);
    return (): void => {
      this.#listeners.delete(listener);
    };
  }
}

/** What a verified certificate says of the other side. */
export interface PeerIdentity {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  readonly clusterId: ClusterId;
}

const ROLE_OF_UNIT: ReadonlyMap<string, NodeRole> = new Map([
  [MANAGER_NAME, 'manager'],
  ['swarm-worker', 'worker'],
]);

/** Undefined when there is no certificate, or it is no node certificate. Call it with verified ones only. */
export function peerIdentity(certificate: PeerCertificate | undefined): PeerIdentity | undefined {
  const subject = certificate?.subject as Readonly<Record<string, unknown>> | undefined;
  const [nodeId, unit, clusterId] = [subject?.['CN'], subject?.['OU'], subject?.['O']];
  if (typeof nodeId !== 'string' || typeof unit !== 'string' || typeof clusterId !== 'string') {
    return undefined;
  }
  const role = ROLE_OF_UNIT.get(unit);
  if (!role) return undefined;
  return { nodeId: nodeId as NodeId, role, clusterId: clusterId as ClusterId };
}

/** Shows our certificate and accepts only a manager of our cluster on the other side. */
export function clientCredentials(identity: Identity): ChannelCredentials {
  return ChannelCredentials.createSsl(
    Buffer.from(identity.rootPem),
    Buffer.from(identity.keyPem),
    Buffer.from(identity.certificatePem),
    { checkServerIdentity: (_host, certificate) => refusal(certificate, identity.clusterId) },
  );
}

/** The same for a connection that is not gRPC. */
export function managerTls(identity: Identity): ConnectionOptions {
  return {
    ca: identity.rootPem,
    key: identity.keyPem,
    cert: identity.certificatePem,
    servername: MANAGER_NAME,
    checkServerIdentity: (_host, certificate) => refusal(certificate, identity.clusterId),
  };
}

/** For a joiner, once it holds the right root: no certificate of our own, a manager on the other side. */
export function joinerCredentials(rootPem: string): ChannelCredentials {
  const clusterId = new X509Certificate(rootPem).subject
    .split('\n')
    .find((line) => line.startsWith('O='))
    ?.slice(2);
  return ChannelCredentials.createSsl(Buffer.from(rootPem), null, null, {
    checkServerIdentity: (_host, certificate) => refusal(certificate, clusterId),
  });
}

/** For the very first question of a joiner, whose answer its token verifies. */
export function unverifiedCredentials(): ChannelCredentials {
  return ChannelCredentials.createSsl(null, null, null, {
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
}

function refusal(certificate: PeerCertificate, clusterId: string | undefined): Error | undefined {
  const peer = peerIdentity(certificate);
  if (peer?.role === 'manager' && peer.clusterId === clusterId) return undefined;
  return new Error(`the other side did not prove to be a manager of cluster ${clusterId}`);
}
