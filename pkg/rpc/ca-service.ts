import type { ClusterId, NodeId, NodeRole } from '../model/index.ts';
import { RpcClient } from './client.ts';
import { CertificateAuthority as CaMethods, type IssuedCertificate } from './gen/ca.pb.ts';
import { openUnary, type ServiceBinding, unary } from './server.ts';

/** A node's certificate as it was issued; its key stayed with who asked. */
export interface CertifiedNode {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  readonly clusterId: ClusterId;
  readonly certificatePem: string;
  readonly rootPem: string;
}

/** `ca`'s `CertificateAuthority` is one. */
export interface CaHandlers {
  rootCertificate(): string;
  issue(request: {
    readonly csrPem: string;
    readonly token: string;
    readonly dataPathAddress: string;
  }): Promise<CertifiedNode>;
  renew(request: { readonly csrPem: string; readonly nodeId: NodeId }): Promise<CertifiedNode>;
}

/** Root and first certificate are open to anyone; renewal needs the present certificate. */
export function caService(handlers: CaHandlers): ServiceBinding {
  const { getRootCertificate, issueNodeCertificate, renewNodeCertificate } = CaMethods.method;
  return {
    service: CaMethods,
    methods: [
      openUnary(getRootCertificate, async () => ({ pem: handlers.rootCertificate() })),
      openUnary(issueNodeCertificate, async ({ csrPem, token, dataPathAddress }) =>
        handlers.issue({ csrPem, token, dataPathAddress }),
      ),
      unary(renewNodeCertificate, ['worker', 'manager'], async ({ csrPem }, { nodeId }) =>
        handlers.renew({ csrPem, nodeId }),
      ),
    ],
  };
}

/** The root of whoever answers at `address` (host:port): check it against the join token before anything else. */
export async function fetchRootCertificate(address: string): Promise<string> {
  const client = RpcClient.connectUnverified(address);
  try {
    return (await client.unary(CaMethods.method.getRootCertificate, {})).pem;
  } finally {
    client.close();
  }
}

/** Joins: a certificate for the key of the request, in the role of the token. The token only goes to a verified manager. */
export async function requestCertificate(options: {
  readonly address: string;
  readonly rootPem: string;
  readonly csrPem: string;
  readonly token: string;
  /** Refused when tunnels between the cluster's nodes cannot lead there. */
  readonly dataPathAddress?: string | undefined;
}): Promise<CertifiedNode> {
  const { address, rootPem, csrPem, token, dataPathAddress = '' } = options;
  const client = RpcClient.connectAsJoiner(address, rootPem);
  try {
    return certified(
      await client.unary(CaMethods.method.issueNodeCertificate, { csrPem, token, dataPathAddress }),
    );
  } finally {
    client.close();
  }
}

/** The next certificate of this node, in the role that the cluster wants it to have. */
export async function renewCertificate(client: RpcClient, csrPem: string): Promise<CertifiedNode> {
  return certified(await client.unary(CaMethods.method.renewNodeCertificate, { csrPem }));
}

function certified(issued: IssuedCertificate): CertifiedNode {
  return {
    nodeId: issued.nodeId as NodeId,
    role: issued.role === 'manager' ? 'manager' : 'worker',
    clusterId: issued.clusterId as ClusterId,
    certificatePem: issued.certificatePem,
    rootPem: issued.rootPem,
  };
}
