import type { FastifyInstance } from 'fastify';
import { newObjectId } from '../../io/index.ts';
import {
  checkEncryption,
  checkIpv6,
  compareTaskState,
  createObject,
  type DraftTables,
  type Network,
  type NetworkId,
  type NetworkSpec,
  NODE_LOCAL_NETWORKS,
  networkTargets,
  refuseOverlap,
  removeObject,
  updateObject,
  VERSION_NONE,
  validateNetworkSpec,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { controlError, nameConflict } from '../failure.ts';
import { parseFilters } from '../filters.ts';
import { findNetwork } from '../lookup.ts';
import { checkNetworkName, matchesNetwork, NETWORK_FILTERS } from '../network-filter.ts';
import { jsonBody, pathParameter, queryFlag, queryText } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { renderNetwork } from '../wire/network.ts';
import { TIME_ZERO } from '../wire/time.ts';

/** The cluster's networks, as a manager serves them. */
export function networkRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/networks', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), NETWORK_FILTERS);
    const view = await freshView(context);
    const networks = [...view.list('network')]
      .filter((network) => !network.removing)
      .map((network) => renderNetwork(view, network));
    return sendJson(
      reply,
      networks.filter((network) => matchesNetwork(network, filters)),
    );
  });

  app.get('/networks/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    if (NODE_LOCAL_NETWORKS.has(asked)) return sendJson(reply, hostNetwork(asked));
    const view = await freshView(context);
    const verbose = queryFlag(request, 'verbose');
    return sendJson(
      reply,
      renderNetwork(view, findNetwork(view, asked), { verbose, members: true }),
    );
  });

  app.get('/networks/:id/check', async (request, reply) => {
    const { id } = findNetwork(await freshView(context), pathParameter(request, 'id'));
    return sendJson(reply, await context.cluster.checkNetwork(id));
  });

  app.post('/networks/create', async (request, reply) => {
    const spec = jsonBody<NetworkSpec>(request);
    checkSpec(spec);
    const id = newObjectId(context.random) as NetworkId;
    await transact(context, (draft) => {
      if (draft.byName('network', spec.Name)) throw nameConflict('network', spec.Name);
      refuseOverlap(draft.list('network'), spec);
      checkEncryption(draft, spec);
      checkIpv6(draft, spec);
      const now = context.cluster.store.now();
      const network: Network = {
        id,
        version: VERSION_NONE,
        createdAt: now,
        updatedAt: now,
        spec,
        subnets: [],
        vni: 0,
      };
      addChanges(draft, [createObject('network', network)]);
    });
    return sendJson(reply, { Id: id, Warning: '' }, 201);
  });

  app.delete('/networks/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    await transact(context, (draft) => removeNetwork(draft, findNetwork(draft, asked)));
    return sendEmpty(reply, 204);
  });
}

function checkSpec(spec: NetworkSpec): void {
  checkNetworkName(spec.Name);
  validateNetworkSpec(spec);
  if (spec.Ingress) {
    throw controlError('AlreadyExists', 'ingress network is already present');
  }
}

/** Services must let go first; their tasks may still be stopping, then the network goes with the last of them. */
function removeNetwork(draft: DraftTables, network: Network): void {
  if (network.spec.Ingress) {
    const text = `ingress network (${network.id}) cannot be removed: the routing mesh of published ports needs it`;
    throw controlError('FailedPrecondition', text);
  }
  for (const service of draft.list('service')) {
    if (!networkTargets(service.spec).some(({ target }) => target === network.id)) continue;
    const text = `network ${network.id} is in use by service ${service.id}`;
    throw controlError('FailedPrecondition', text);
  }
  for (const { networkId, containerName, id } of draft.list('attachment')) {
    if (networkId !== network.id) continue;
    const text = `network ${network.id} is in use by task ${id} (container ${containerName})`;
    throw controlError('FailedPrecondition', text);
  }
  const live = [...draft.tasksOfNetwork(network.id)].some(
    (task) => task.nodeId !== undefined && compareTaskState(task.status.state, 'running') <= 0,
  );
  const change = live
    ? updateObject('network', { ...network, removing: true })
    : removeObject('network', network);
  addChanges(draft, [change]);
}

/** `--network host`: every node has it by itself; the CLI wants to see it in the swarm's scope. */
function hostNetwork(name: string): DockerJson {
  return {
    Name: name,
    Id: name,
    Created: TIME_ZERO,
    Scope: 'swarm',
    Driver: name === 'none' ? 'null' : name,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: 'default', Options: null, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: {},
  };
}
