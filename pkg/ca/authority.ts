import type { ClusterId, NodeId, NodeRole } from '../model/index.ts';
import { ClusterError } from '../model/index.ts';
import { issueNodeCertificate } from './csr.ts';
import type { RootAuthority } from './root.ts';
import { type JoinTokens, roleOfToken } from './token.ts';

/** What the authority needs of the replicated state. */
export interface AuthorityState {
  readonly clusterId: ClusterId;
  readonly root: RootAuthority;
  readonly joinTokens: JoinTokens;
}

export interface NewNode {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  /** Where it says that packets of overlay networks come and go; empty or absent when it does not. */
  readonly dataPathAddress?: string | undefined;
}

export interface CertificateAuthorityOptions {
  /** Present state; undefined while this manager knows no cluster. */
  readonly state: () => AuthorityState | undefined;
  /** Role the cluster wants the node to have; undefined when the node was removed. */
  readonly roleOf: (nodeId: NodeId) => NodeRole | undefined;
  /** Puts the new node into the store, or refuses it; its certificate is handed out only after this resolved. */
  readonly admit: (node: NewNode) => Promise<void>;
  readonly newNodeId: () => NodeId;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface IssuedIdentity {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  readonly clusterId: ClusterId;
  readonly certificatePem: string;
  readonly rootPem: string;
}

/** Answers the requests for identities; runs on every manager. Its methods are the handlers of the CA service. */
export class CertificateAuthority {
  readonly #options: CertificateAuthorityOptions;

  constructor(options: CertificateAuthorityOptions) {
    this.#options = options;
  }

  /** The root in PEM. Public: the joiner compares its digest with the token. Throws `unavailable` before there is one. */
  rootCertificate(): string {
    return this.#state().root.certificatePem;
  }

  /** A new node in the role of the token. Throws `unauthorized` for a wrong token, `invalid` for a bad request. */
  async issue(request: {
    readonly csrPem: string;
    readonly token: string;
    readonly dataPathAddress?: string | undefined;
  }): Promise<IssuedIdentity> {
    const role = roleOfToken(request.token, this.#state().joinTokens);
    const nodeId = this.#options.newNodeId();
    const issued = await this.#certify(request.csrPem, nodeId, role);
    await this.#options.admit({ nodeId, role, dataPathAddress: request.dataPathAddress });
    return issued;
  }

  /** The next certificate of a node, in the role it shall have now. Throws `forbidden` when the node was removed. */
  async renew(request: {
    readonly csrPem: string;
    readonly nodeId: NodeId;
  }): Promise<IssuedIdentity> {
    const role = this.#options.roleOf(request.nodeId);
    if (!role) {
      throw new ClusterError('forbidden', `node ${request.nodeId} is not part of this cluster`);
    }
    return await this.#certify(request.csrPem, request.nodeId, role);
  }

  async #certify(csrPem: string, nodeId: NodeId, role: NodeRole): Promise<IssuedIdentity> {
    const { root, clusterId } = this.#state();
    const now = this.#options.now();
    const certificatePem = await issueNodeCertificate({
      root,
      csrPem,
      nodeId,
      role,
      clusterId,
      now,
    });
    return { nodeId, role, clusterId, certificatePem, rootPem: root.certificatePem };
  }

  #state(): AuthorityState {
    const state = this.#options.state();
    if (!state) throw new ClusterError('unavailable', 'this manager has not joined a cluster yet');
    return state;
  }
}
