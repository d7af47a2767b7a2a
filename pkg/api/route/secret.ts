import type { FastifyInstance } from 'fastify';
import { newObjectId } from '../../io/index.ts';
import {
  canonicalJson,
  createObject,
  removeObject,
  type Secret,
  type SecretId,
  type SecretSpec,
  type Service,
  updateObject,
  VERSION_NONE,
  type View,
  validateSecretSpec,
  volumeSecret,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import { controlError } from '../failure.ts';
import { parseFilters } from '../filters.ts';
import { checkPresentVersion, findSecret } from '../lookup.ts';
import { inUse, matchesNamed, NAMED_FILTERS, refuseDataChange } from '../named-object.ts';
import { jsonBody, pathParameter, queryText, versionParameter } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { renderSecret } from '../wire/secret.ts';

export function secretRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/secrets', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), NAMED_FILTERS);
    const view = await freshView(context);
    const secrets = [...view.list('secret')].filter((secret) => matchesNamed(secret, filters));
    return sendJson(reply, secrets.map(renderSecret));
  });

  app.post('/secrets/create', async (request, reply) => {
    const spec = jsonBody<SecretSpec>(request);
    validateSecretSpec(spec);
    const id = newObjectId(context.random) as SecretId;
    await context.cluster.store.update((draft) => {
      const now = context.cluster.store.now();
      const secret: Secret = { id, version: VERSION_NONE, createdAt: now, updatedAt: now, spec };
      addChanges(draft, [createObject('secret', secret)]);
    });
    return sendJson(reply, { ID: id }, 201);
  });

  app.get('/secrets/:id', async (request, reply) => {
    const view = await freshView(context);
    return sendJson(reply, renderSecret(findSecret(view, pathParameter(request, 'id'))));
  });

  app.post('/secrets/:id/update', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    const version = versionParameter(request);
    const sent = jsonBody<SecretSpec>(request);
    await transact(context, (draft) => {
      const secret = findSecret(draft, asked);
      checkPresentVersion(secret, version);
      refuseDataChange(secret.spec, sent);
      if (canonicalJson(secret.spec.Labels) === canonicalJson(sent.Labels)) return;
      const spec = { ...secret.spec, Labels: sent.Labels };
      addChanges(draft, [updateObject('secret', { ...secret, spec })]);
    });
    return sendEmpty(reply, 200);
  });

  app.delete('/secrets/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    await transact(context, (draft) => {
      const secret = findSecret(draft, asked);
      const users = servicesUsing(draft, secret.id);
      if (users.length > 0) {
        throw controlError('InvalidArgument', inUse('secret', secret.spec.Name, users));
      }
      refuseUsedByVolume(draft, secret);
      addChanges(draft, [removeObject('secret', secret)]);
    });
    return sendEmpty(reply, 204);
  });
}

/** A driver may need it for as long as the volume is there. */
function refuseUsedByVolume(view: View, secret: Secret): void {
  for (const { spec } of view.list('volume')) {
    for (const { Secret: asked } of spec.ClusterVolumeSpec.Secrets ?? []) {
      if (volumeSecret(view, asked)?.id !== secret.id) continue;
      const text = `secret '${secret.spec.Name}' is in use by the following volume: ${spec.Name}`;
      throw controlError('InvalidArgument', text);
    }
  }
}

function servicesUsing(view: View, id: SecretId): readonly Service[] {
  return [...view.list('service')].filter((service) =>
    service.spec.TaskTemplate?.ContainerSpec?.Secrets?.some(({ SecretID }) => SecretID === id),
  );
}
