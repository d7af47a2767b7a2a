import type { FastifyInstance, FastifyRequest } from 'fastify';
import { newObjectId } from '../../io/index.ts';
import {
  applyServiceUpdate,
  ClusterError,
  checkPortConflict,
  createService,
  DraftTables,
  type InstantMs,
  removeObject,
  rollbackService,
  rollbackToRevision,
  type Service,
  type ServiceChange,
  type ServiceId,
  type ServiceSpec,
  serviceMode,
  updateObject,
  validateServiceSpec,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshMoment, freshView, transact } from '../context.ts';
import { nameConflict } from '../failure.ts';
import { type Filters, parseFilters } from '../filters.ts';
import { checkReadVersion, findService } from '../lookup.ts';
import { jsonBody, pathParameter, queryFlag, queryText, versionParameter } from '../query.ts';
import { randomName } from '../random-name.ts';
import { registryAuth } from '../registry-auth.ts';
import { sendEmpty, sendJson, sendJsonList } from '../reply.ts';
import { resolveReferences } from '../service-references.ts';
import { renderRevisions } from '../wire/revision.ts';
import { renderService } from '../wire/service.ts';

const FILTERS = ['id', 'label', 'mode', 'name', 'runtime'];

export function serviceRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/services', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), FILTERS);
    const status = queryFlag(request, 'status');
    using view = await freshMoment(context);
    const services = [...view.list('service')].filter((service) => matches(service, filters));
    return await sendJsonList(reply, services, (service) =>
      JSON.stringify(renderService(view, service, { status })),
    );
  });

  app.post('/services/create', async (request, reply) => {
    const work = creation(context, request);
    if (queryFlag(request, 'dry-run')) return sendJson(reply, await dryRun(context, work));
    const service = await transact(context, work);
    return sendJson(reply, { ID: service.id, Warnings: null }, 201);
  });

  app.get('/services/:id', async (request, reply) => {
    const view = await freshView(context);
    const service = findService(view, pathParameter(request, 'id'));
    const insertDefaults = queryFlag(request, 'insertDefaults');
    return sendJson(reply, renderService(view, service, { insertDefaults }));
  });

  app.post('/services/:id/update', async (request, reply) => {
    const work = change(context, request);
    if (queryFlag(request, 'dry-run')) return sendJson(reply, await dryRun(context, work));
    await transact(context, work);
    return sendJson(reply, { Warnings: null });
  });

  app.get('/services/:id/revisions', async (request, reply) => {
    const view = await freshView(context);
    const service = findService(view, pathParameter(request, 'id'));
    return sendJson(reply, renderRevisions(view, service));
  });

  app.delete('/services/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    await transact(context, (draft) => {
      addChanges(draft, [removeObject('service', findService(draft, asked))]);
    });
    return sendEmpty(reply, 200);
  });
}

/** What a transaction does, and to which service. */
type Work = (draft: DraftTables) => Service;

/** Everything but the write: the same checks, then what would happen. */
async function dryRun(context: ClusterContext, work: Work): Promise<object> {
  const view = await freshView(context);
  const draft = new DraftTables(view);
  const { id } = work(draft);
  return await context.cluster.plan(view, draft.changes, id);
}

function creation(context: ClusterContext, request: FastifyRequest): Work {
  const sent = jsonBody<ServiceSpec>(request);
  const credentials = registryAuth(request);
  const id = newObjectId(context.random) as ServiceId;
  const named = sent.Name ? sent : { ...sent, Name: randomName(context.random) };
  validateServiceSpec(named);
  return (draft) => {
    const spec = resolveReferences(draft, named);
    if (draft.byName('service', named.Name ?? '')) throw nameConflict('service', named.Name ?? '');
    checkPortConflict(draft, spec, undefined);
    const now = context.cluster.store.now();
    const { service, changes } = createService(id, spec, now, credentials);
    addChanges(draft, changes);
    return service;
  };
}

function change(context: ClusterContext, request: FastifyRequest): Work {
  const asked = pathParameter(request, 'id');
  const version = versionParameter(request);
  const revision = revisionParameter(request);
  const rollback = revision !== undefined || queryText(request, 'rollback') === 'previous';
  const sent = rollback ? {} : jsonBody<ServiceSpec>(request);
  if (!rollback) validateServiceSpec(sent);
  const credentials = registryAuth(request);
  return (draft) => {
    const service = findService(draft, asked);
    checkReadVersion(service, version);
    const now = context.cluster.store.now();
    const written: Service = {
      ...service,
      specSeen: service.version,
      registryAuth: credentials ?? service.registryAuth,
    };
    const { changes } = rollback
      ? rolledBack(draft, written, revision, now)
      : applyServiceUpdate(written, acceptedSpec(draft, service, sent), now);
    const onlyCredentials = credentials !== undefined && changes.length === 0;
    addChanges(draft, onlyCredentials ? [updateObject('service', written)] : changes);
    return service;
  };
}

/** `rollbackTo=7`: the revision to go back to; not in Docker's API. */
function revisionParameter(request: FastifyRequest): number | undefined {
  const text = queryText(request, 'rollbackTo');
  if (text === undefined || text === '') return undefined;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new ClusterError('invalid', `rollbackTo=${text} is not the number of a revision`);
}

function rolledBack(
  draft: DraftTables,
  service: Service,
  wanted: number | undefined,
  now: InstantMs,
): ServiceChange {
  if (wanted === undefined) return rollbackService(service, now);
  const revision = draft.revision(service.id, wanted);
  if (!revision) {
    const text = `service ${service.spec.Name} has no revision ${wanted}: ctl service history ${service.spec.Name} lists them`;
    throw new ClusterError('not-found', text);
  }
  // Its networks, secrets and ports must still be there.
  acceptedSpec(draft, service, revision.spec);
  return rollbackToRevision(service, revision, now);
}

function acceptedSpec(draft: DraftTables, service: Service, sent: ServiceSpec): ServiceSpec {
  const spec = resolveReferences(draft, sent);
  checkPortConflict(draft, spec, service.id);
  return spec;
}

function matches(service: Service, filters: Filters): boolean {
  return (
    filters.prefix('id', service.id) &&
    filters.prefix('name', service.spec.Name) &&
    filters.labels('label', service.spec.Labels) &&
    filters.exact('mode', serviceMode(service.spec).kind) &&
    filters.prefix('runtime', service.spec.TaskTemplate?.Runtime || 'container')
  );
}
