import type { FastifyInstance } from 'fastify';
import type { AgentContext } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { type Filters, flagFilter, parseFilters } from '../filters.ts';
import { jsonBody, pathParameter, queryFlag, queryText } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';

type Labels = Readonly<Record<string, string>> | null | undefined;

const FILTERS = ['dangling', 'driver', 'label', 'name'];
const PRUNE_FILTERS = ['label', 'label!', 'all'];

export function volumeRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  app.get('/volumes', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), FILTERS);
    const volumes = (await engine.volumes.list()).filter((volume) => matches(volume, filters));
    return sendJson(reply, { Volumes: volumes, Warnings: null });
  });

  app.get('/volumes/:name', async (request, reply) =>
    sendJson(reply, await engine.volumes.inspect(pathParameter(request, 'name'))),
  );

  app.post('/volumes/create', async (request, reply) =>
    sendJson(reply, await engine.volumes.create(jsonBody(request)), 201),
  );

  app.delete('/volumes/:name', async (request, reply) => {
    const force = queryFlag(request, 'force');
    await engine.volumes.remove(pathParameter(request, 'name'), { force });
    return sendEmpty(reply, 204);
  });

  app.post('/volumes/prune', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), PRUNE_FILTERS);
    const { deleted, spaceReclaimed } = await engine.volumes.prune({
      all: flagFilter(filters, 'all') ?? false,
      keep: (volume) => {
        const labels = volume['Labels'] as Labels;
        return !filters.labels('label', labels) || !filters.withoutLabels(labels);
      },
    });
    return sendJson(reply, { VolumesDeleted: deleted, SpaceReclaimed: spaceReclaimed });
  });
}

function matches(volume: DockerJson, filters: Filters): boolean {
  const usage = volume['UsageData'] as { readonly RefCount?: number } | null | undefined;
  const dangling = flagFilter(filters, 'dangling');
  return (
    filters.any('name', (value) => String(volume['Name']).includes(value)) &&
    filters.exact('driver', String(volume['Driver'])) &&
    filters.labels('label', volume['Labels'] as Labels) &&
    (dangling === undefined || dangling === (usage?.RefCount === 0))
  );
}
