import type { FastifyInstance, FastifyRequest } from 'fastify';
import { errorMessage } from '../../model/index.ts';
import { CONTAINER_FILTERS, containerMatcher } from '../container-filter.ts';
import type { AgentContext } from '../context.ts';
import type { DockerJson, StopOptions } from '../engine.ts';
import { invalid } from '../failure.ts';
import { parseFilters } from '../filters.ts';
import { jsonBody, pathParameter, queryFlag, queryInteger, queryText } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { abortOnClose, beginStream } from '../stream.ts';

/** This host's containers: life and death. What flows in and out of them is in `container-stream.ts`. */
export function containerRoutes(app: FastifyInstance, context: AgentContext): void {
  listRoutes(app, context);
  lifecycleRoutes(app, context);
  waitRoute(app, context);
}

function listRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { containers } = engine;
  app.get('/containers/json', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), CONTAINER_FILTERS);
    const limit = queryInteger(request, 'limit') ?? -1;
    const all =
      queryFlag(request, 'all') || limit > 0 || filters.has('status') || filters.has('exited');
    const list = await containers.list({ all, size: queryFlag(request, 'size') });
    const found = list.filter(containerMatcher(filters, list));
    return sendJson(reply, limit > 0 ? found.slice(0, limit) : found);
  });

  app.get('/containers/:id/json', async (request, reply) => {
    const size = queryFlag(request, 'size');
    return sendJson(reply, await containers.inspect(pathParameter(request, 'id'), { size }));
  });

  app.get('/containers/:id/top', async (request, reply) => {
    const psArgs = queryText(request, 'ps_args') || '-ef';
    return sendJson(reply, await containers.top(pathParameter(request, 'id'), psArgs));
  });

  app.get('/containers/:id/changes', async (request, reply) =>
    sendJson(reply, await containers.changes(pathParameter(request, 'id'))),
  );
}

function lifecycleRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { containers } = engine;
  const verb = (
    name: string,
    act: (id: string, request: FastifyRequest) => Promise<void>,
  ): void => {
    app.post(`/containers/:id/${name}`, async (request, reply) => {
      await act(pathParameter(request, 'id'), request);
      return sendEmpty(reply, 204);
    });
  };

  app.post('/containers/create', async (request, reply) => {
    const name = queryText(request, 'name')?.replace(/^\//, '') || undefined;
    const { id, warnings } = await containers.create(name, jsonBody(request));
    return sendJson(reply, { Id: id, Warnings: warnings }, 201);
  });

  verb('start', (id) => containers.start(id));
  verb('stop', (id, request) => containers.stop(id, stopOptions(request)));
  verb('restart', (id, request) => containers.restart(id, stopOptions(request)));
  verb('kill', (id, request) => containers.kill(id, queryText(request, 'signal') || 'KILL'));
  verb('pause', (id) => containers.pause(id));
  verb('unpause', (id) => containers.unpause(id));
  verb('rename', (id, request) => {
    const name = queryText(request, 'name');
    if (!name) throw invalid('Neither old nor new names may be empty');
    return containers.rename(id, name);
  });

  app.post('/containers/:id/update', async (request, reply) => {
    const { warnings } = await containers.update(pathParameter(request, 'id'), jsonBody(request));
    return sendJson(reply, { Warnings: warnings });
  });

  app.delete('/containers/:id', async (request, reply) => {
    const options = { force: queryFlag(request, 'force'), volumes: queryFlag(request, 'v') };
    await containers.remove(pathParameter(request, 'id'), options);
    return sendEmpty(reply, 204);
  });

  app.post('/containers/prune', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), ['label', 'label!', 'until']);
    const labelsOf = (summary: DockerJson): Readonly<Record<string, string>> | undefined =>
      summary['Labels'] as Readonly<Record<string, string>> | undefined;
    const { deleted, spaceReclaimed } = await containers.prune(
      (summary) =>
        !filters.labels('label', labelsOf(summary)) || !filters.withoutLabels(labelsOf(summary)),
    );
    return sendJson(reply, { ContainersDeleted: deleted, SpaceReclaimed: spaceReclaimed });
  });
}

function stopOptions(request: FastifyRequest): StopOptions {
  return {
    timeoutS: queryInteger(request, 't'),
    signal: queryText(request, 'signal') || undefined,
  };
}

type WaitCondition = 'not-running' | 'next-exit' | 'removed';

/** `docker run` starts the container once this header has arrived, so it must not wait for the body. */
function waitRoute(app: FastifyInstance, { engine }: AgentContext): void {
  app.post('/containers/:id/wait', async (request, reply) => {
    const condition = queryText(request, 'condition') || 'not-running';
    if (!isCondition(condition)) throw invalid(`invalid condition: "${condition}"`);
    const signal = abortOnClose(reply);
    let begun = false;
    const registered = (): void => {
      begun = true;
      beginStream(reply, 'application/json');
    };
    try {
      const id = pathParameter(request, 'id');
      const { exitCode, error } = await engine.containers.wait(id, condition, {
        registered,
        signal,
      });
      if (!begun) registered();
      const body = { StatusCode: exitCode, ...(error && { Error: { Message: error } }) };
      reply.raw.end(`${JSON.stringify(body)}\n`);
    } catch (error) {
      if (!begun) throw error;
      const body = { StatusCode: -1, Error: { Message: errorMessage(error) } };
      reply.raw.end(`${JSON.stringify(body)}\n`);
    }
    return reply;
  });
}

function isCondition(text: string): text is WaitCondition {
  return text === 'not-running' || text === 'next-exit' || text === 'removed';
}
