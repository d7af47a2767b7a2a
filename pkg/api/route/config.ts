import type { FastifyInstance } from 'fastify';
import { newObjectId } from '../../io/index.ts';
import {
  type Config,
  type ConfigId,
  type ConfigSpec,
  canonicalJson,
  createObject,
  removeObject,
  type Service,
  updateObject,
  VERSION_NONE,
  type View,
  validateConfigSpec,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import { controlError } from '../failure.ts';
import { parseFilters } from '../filters.ts';
import { checkPresentVersion, findConfig } from '../lookup.ts';
import { inUse, matchesNamed, NAMED_FILTERS, refuseDataChange } from '../named-object.ts';
import { jsonBody, pathParameter, queryText, versionParameter } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { renderConfig } from '../wire/secret.ts';

export function configRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/configs', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), NAMED_FILTERS);
    const view = await freshView(context);
    const configs = [...view.list('config')].filter((config) => matchesNamed(config, filters));
    return sendJson(reply, configs.map(renderConfig));
  });

  app.post('/configs/create', async (request, reply) => {
    const spec = jsonBody<ConfigSpec>(request);
    validateConfigSpec(spec);
    const id = newObjectId(context.random) as ConfigId;
    await context.cluster.store.update((draft) => {
      const now = context.cluster.store.now();
      const config: Config = { id, version: VERSION_NONE, createdAt: now, updatedAt: now, spec };
      addChanges(draft, [createObject('config', config)]);
    });
    return sendJson(reply, { ID: id }, 201);
  });

  app.get('/configs/:id', async (request, reply) => {
    const view = await freshView(context);
    return sendJson(reply, renderConfig(findConfig(view, pathParameter(request, 'id'))));
  });

  app.post('/configs/:id/update', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    const version = versionParameter(request);
    const sent = jsonBody<ConfigSpec>(request);
    await transact(context, (draft) => {
      const config = findConfig(draft, asked);
      checkPresentVersion(config, version);
      refuseDataChange(config.spec, sent);
      if (canonicalJson(config.spec.Labels) === canonicalJson(sent.Labels)) return;
      const spec = { ...config.spec, Labels: sent.Labels };
      addChanges(draft, [updateObject('config', { ...config, spec })]);
    });
    return sendEmpty(reply, 200);
  });

  app.delete('/configs/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    await transact(context, (draft) => {
      const config = findConfig(draft, asked);
      const users = servicesUsing(draft, config.id);
      if (users.length > 0) {
        throw controlError('InvalidArgument', inUse('config', config.spec.Name, users));
      }
      addChanges(draft, [removeObject('config', config)]);
    });
    return sendEmpty(reply, 204);
  });
}

function servicesUsing(view: View, id: ConfigId): readonly Service[] {
  return [...view.list('service')].filter((service) =>
    service.spec.TaskTemplate?.ContainerSpec?.Configs?.some(({ ConfigID }) => ConfigID === id),
  );
}
