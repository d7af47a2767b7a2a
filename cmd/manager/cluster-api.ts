import type { ClusterApi, ClusterLogRequest } from '../../pkg/api/index.ts';
import { createJoinToken } from '../../pkg/ca/index.ts';
import type { Dispatcher } from '../../pkg/dispatcher/index.ts';
import { type Clock, newObjectId, type Random } from '../../pkg/io/index.ts';
import type { NodeId, ServiceId } from '../../pkg/model/index.ts';
import type { Store } from '../../pkg/store/index.ts';
import { explainService, explainTask } from './explain.ts';
import { demoted } from './membership.ts';
import { planChange } from './plan.ts';

/** What the API's cluster routes work with, made of the parts of this manager. */
export function clusterApi(parts: {
  readonly store: Store;
  readonly dispatcher: Dispatcher;
  readonly nodeId: NodeId;
  readonly random: Random;
  readonly clock: Clock;
}): ClusterApi {
  const { store, dispatcher, nodeId, random, clock } = parts;
  return {
    store,
    nodeId,
    demote: (id) => demoted(store, clock, { id, self: nodeId }),
    explainTask: (view, id) => explainTask(view, id, store.now()),
    explainService: (view, id) => explainService(view, id, store.now()),
    plan: (view, changes, serviceId) => planChange(view, changes, { serviceId, now: store.now() }),
    logs: (request) => dispatcher.questions.logs(logRequest(request), request.signal),
    checkNetwork: (id) => dispatcher.questions.checkNetwork(id),
    newJoinToken: (cluster) => createJoinToken(cluster.ca.certificatePem, newObjectId(random)),
  };
}

function logRequest(request: ClusterLogRequest): Parameters<Dispatcher['questions']['logs']>[0] {
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
