import type { FastifyInstance } from 'fastify';
import { ClusterError } from '../../model/index.ts';
import type { AgentContext } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { parseFilters } from '../filters.ts';
import { unversioned } from '../forward.ts';
import { checkNetworkName, matchesNetwork, NETWORK_FILTERS } from '../network-filter.ts';
import { jsonBody, pathParameter, queryText } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';

/** This host's networks and the cluster's as one list. */
export function hostNetworkRoutes(app: FastifyInstance, context: AgentContext): void {
  const { engine, manager } = context;

  app.get('/networks', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), NETWORK_FILTERS);
    const local = (await engine.networks.list()).filter((network) =>
      matchesNetwork(network, filters),
    );
    const path = unversioned(request);
    const cluster = manager.available ? await manager.json('GET', path) : [];
    return sendJson(reply, [...local, ...(cluster as readonly DockerJson[])]);
  });

  app.get('/networks/:id', async (request, reply) => {
    const local =
      queryText(request, 'scope') === 'swarm'
        ? undefined
        : await localNetwork(context, pathParameter(request, 'id'));
    if (local) return sendJson(reply, local);
    refuseWithoutManager(context, pathParameter(request, 'id'));
    return sendJson(reply, await manager.json('GET', unversioned(request)));
  });

  app.post('/networks/create', async (request, reply) => {
    const body = jsonBody(request);
    checkNetworkName(body['Name'] as string | undefined);
    if (body['Driver'] === 'overlay' || body['Scope'] === 'swarm') {
      return sendJson(reply, await manager.json('POST', '/networks/create', body), 201);
    }
    const { id, warning } = await engine.networks.create(body);
    return sendJson(reply, { Id: id, Warning: warning }, 201);
  });

  app.delete('/networks/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    if (await localNetwork(context, asked)) await engine.networks.remove(asked);
    else {
      refuseWithoutManager(context, asked);
      await manager.json('DELETE', unversioned(request));
    }
    return sendEmpty(reply, 204);
  });

  app.post('/networks/:id/connect', async (request, reply) => {
    await engine.networks.connect(pathParameter(request, 'id'), jsonBody(request));
    return sendEmpty(reply, 200);
  });

  app.post('/networks/:id/disconnect', async (request, reply) => {
    await engine.networks.disconnect(pathParameter(request, 'id'), jsonBody(request));
    return sendEmpty(reply, 200);
  });

  app.post('/networks/prune', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), ['label', 'label!', 'until']);
    const deleted = await engine.networks.prune((network) => {
      const labels = network['Labels'] as Readonly<Record<string, string>> | undefined;
      return !filters.labels('label', labels) || !filters.withoutLabels(labels);
    });
    return sendJson(reply, { NetworksDeleted: deleted });
  });
}

/** On a host that manages nothing, what is not here does not exist. */
function refuseWithoutManager({ manager }: AgentContext, asked: string): void {
  if (!manager.available) throw new ClusterError('not-found', `network ${asked} not found`);
}

async function localNetwork(
  { engine }: AgentContext,
  asked: string,
): Promise<DockerJson | undefined> {
  try {
    return await engine.networks.inspect(asked);
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
