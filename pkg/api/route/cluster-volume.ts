import type { FastifyInstance } from 'fastify';
import { newHexId, newObjectId } from '../../io/index.ts';
import {
  type ClusterVolumeSpec,
  checkVolumeSecrets,
  createObject,
  type DraftTables,
  removeObject,
  updatedVolumeSpec,
  updateObject,
  VERSION_NONE,
  type Volume,
  type VolumeId,
  type VolumeSpec,
  validateVolumeSpec,
  volumeHolders,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import { controlError } from '../failure.ts';
import { parseFilters } from '../filters.ts';
import { checkReadVersion, findVolume } from '../lookup.ts';
import { jsonBody, pathParameter, queryFlag, queryText, versionParameter } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { matchesVolume, VOLUME_FILTERS } from '../volume-filter.ts';
import { renderVolume } from '../wire/volume.ts';

/** The cluster's volumes, as a manager serves them. */
export function clusterVolumeRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/volumes', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), VOLUME_FILTERS);
    const view = await freshView(context);
    const volumes = [...view.list('volume')].map(renderVolume);
    return sendJson(reply, {
      Volumes: volumes.filter((volume) => matchesVolume(volume, filters)),
      Warnings: [],
    });
  });

  app.get('/volumes/:id', async (request, reply) => {
    const view = await freshView(context);
    return sendJson(reply, renderVolume(findVolume(view, pathParameter(request, 'id'))));
  });

  app.post('/volumes/create', async (request, reply) => {
    const sent = jsonBody<VolumeSpec>(request);
    const spec = sent.Name ? sent : { ...sent, Name: newHexId(context.random) };
    validateVolumeSpec(spec);
    const id = newObjectId(context.random) as VolumeId;
    const now = context.cluster.store.now();
    const volume: Volume = {
      id,
      version: VERSION_NONE,
      createdAt: now,
      updatedAt: now,
      spec,
      publications: [],
    };
    await transact(context, (draft) => {
      checkVolumeSecrets(draft, spec);
      addChanges(draft, [createObject('volume', volume)]);
    });
    const made = context.cluster.store.view.get('volume', id) ?? volume;
    return sendJson(reply, renderVolume(made), 201);
  });

  app.put('/volumes/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    const version = versionParameter(request);
    const { Spec } = jsonBody<{ Spec?: ClusterVolumeSpec }>(request);
    await transact(context, (draft) => {
      const volume = findVolume(draft, asked);
      checkReadVersion(volume, version);
      const spec = updatedVolumeSpec(volume.spec, Spec ?? {});
      addChanges(draft, [updateObject('volume', { ...volume, spec, specSeen: volume.version })]);
    });
    return sendEmpty(reply, 200);
  });

  app.delete('/volumes/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    const force = queryFlag(request, 'force');
    await transact(context, (draft) => {
      const volume = findVolume(draft, asked);
      if (force) addChanges(draft, [removeObject('volume', volume)]);
      else removeVolume(draft, volume);
    });
    return sendEmpty(reply, 204);
  });
}

/** The driver deletes it first; the object goes when it has. */
function removeVolume(draft: DraftTables, volume: Volume): void {
  if (volume.publications.length > 0 || volumeHolders(draft, volume.id).length > 0) {
    throw controlError('FailedPrecondition', 'volume is still in use');
  }
  const change = updateObject('volume', { ...volume, removing: true, error: undefined });
  if (!volume.removing) addChanges(draft, [change]);
}
