import type { FastifyInstance } from 'fastify';
import { ClusterError } from '../../model/index.ts';
import type { AgentContext } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { flagFilter, parseFilters } from '../filters.ts';
import { unversioned } from '../forward.ts';
import { jsonBody, pathParameter, queryFlag, queryText } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { matchesVolume, VOLUME_FILTERS } from '../volume-filter.ts';

const PRUNE_FILTERS = ['label', 'label!', 'all'];
const NO_MANAGER = 'volume update only valid for cluster volumes, but swarm is unavailable';

/** This host's volumes and the cluster's; where both have a name, the host's is meant, as in Docker. */
export function volumeRoutes(app: FastifyInstance, context: AgentContext): void {
  const { engine, manager } = context;

  app.get('/volumes', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), VOLUME_FILTERS);
    const local = (await engine.volumes.list()).filter((volume) => matchesVolume(volume, filters));
    const cluster = manager.available ? await manager.json('GET', unversioned(request)) : {};
    const { Volumes = [] } = cluster as { readonly Volumes?: readonly DockerJson[] };
    return sendJson(reply, { Volumes: [...local, ...Volumes], Warnings: null });
  });

  app.get('/volumes/:name', async (request, reply) => {
    try {
      return sendJson(reply, await engine.volumes.inspect(pathParameter(request, 'name')));
    } catch (error) {
      if (!isNotFound(error) || !manager.available) throw error;
      const ofCluster = await notFoundAs(error, manager.json('GET', unversioned(request)));
      return sendJson(reply, ofCluster);
    }
  });

  app.post('/volumes/create', async (request, reply) => {
    const body = jsonBody(request);
    if (!body['ClusterVolumeSpec']) return sendJson(reply, await engine.volumes.create(body), 201);
    return sendJson(reply, await manager.json('POST', '/volumes/create', body), 201);
  });

  app.put('/volumes/:name', async (request, reply) => {
    if (!manager.available) throw new ClusterError('unavailable', NO_MANAGER);
    await manager.json('PUT', unversioned(request), jsonBody(request));
    return sendEmpty(reply, 200);
  });

  app.delete('/volumes/:name', async (request, reply) => {
    const force = queryFlag(request, 'force');
    const name = pathParameter(request, 'name');
    const missing = await engine.volumes
      .remove(name, { force })
      .then(() => undefined, onlyNotFound);
    // With force nobody says whether there was one here.
    if (force || missing) await removeOfCluster(context, unversioned(request), missing);
    return sendEmpty(reply, 204);
  });

  app.post('/volumes/prune', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), PRUNE_FILTERS);
    const { deleted, spaceReclaimed } = await engine.volumes.prune({
      all: flagFilter(filters, 'all') ?? false,
      keep: (volume) => {
        const labels = volume['Labels'] as Readonly<Record<string, string>> | null | undefined;
        return !filters.labels('label', labels) || !filters.withoutLabels(labels);
      },
    });
    return sendJson(reply, { VolumesDeleted: deleted, SpaceReclaimed: spaceReclaimed });
  });
}

/** `missing`: what to say when the cluster has none either; undefined: nothing. */
async function removeOfCluster(
  { manager }: AgentContext,
  path: string,
  missing: ClusterError | undefined,
): Promise<void> {
  if (!manager.available) {
    if (missing) throw missing;
    return;
  }
  const none = await manager.json('DELETE', path).then(() => undefined, onlyNotFound);
  if (none && missing) throw missing;
}

function isNotFound(error: unknown): error is ClusterError {
  return error instanceof ClusterError && error.kind === 'not-found';
}

function onlyNotFound(error: unknown): ClusterError {
  if (isNotFound(error)) return error;
  throw error;
}

async function notFoundAs<T>(missing: ClusterError, answer: Promise<T>): Promise<T> {
  return await answer.catch((error: unknown) => {
    throw isNotFound(error) ? missing : error;
  });
}
