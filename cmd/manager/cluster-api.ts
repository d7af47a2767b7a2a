import { X509Certificate } from 'node:crypto';
import type { ClusterApi, ClusterLogRequest, TlsInfo } from '../../pkg/api/index.ts';
import { createJoinToken } from '../../pkg/ca/index.ts';
import type { Dispatcher } from '../../pkg/dispatcher/index.ts';
import { newObjectId, type Random } from '../../pkg/io/index.ts';
import type { Cluster, NodeId, ServiceId } from '../../pkg/model/index.ts';
import type { Store } from '../../pkg/store/index.ts';

/** What the API's cluster routes work with, made of the parts of this manager. */
export function clusterApi(parts: {
  readonly store: Store;
  readonly dispatcher: Dispatcher;
  readonly nodeId: NodeId;
  readonly random: Random;
}): ClusterApi {
  const { store, dispatcher, nodeId, random } = parts;
  return {
    store,
    nodeId,
    demote: async (id): Promise<void> => {
      const member = store.members().find((candidate) => candidate.nodeId === id);
      if (member) await store.removeMember(member.raftId);
    },
    logs: (request) => dispatcher.logs(logRequest(request), request.signal),
    newJoinToken: (cluster) => createJoinToken(cluster.ca.certificatePem, newObjectId(random)),
    tlsInfo,
  };
}

function logRequest(request: ClusterLogRequest): Parameters<Dispatcher['logs']>[0] {
  const { serviceId, tasks, follow, stdout, stderr, tail, sinceNs } = request;
  return {
    selector: {
      serviceIds: serviceId === undefined ? [] : [serviceId as ServiceId],
      taskIds: tasks,
    },
    options: {
      follow,
      stdout,
      stderr,
      tail,
      sinceMs: sinceNs === undefined ? undefined : Number(sinceNs / 1_000_000n),
    },
  };
}

function tlsInfo(cluster: Cluster): TlsInfo {
  const certificate = new X509Certificate(cluster.ca.certificatePem);
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    TrustRoot: cluster.ca.certificatePem,
    CertIssuerSubject: Buffer.from(certificate.subject).toString('base64'),
    CertIssuerPublicKey: key.toString('base64'),
  };
}
