import type { FastifyInstance } from 'fastify';
import { type ClusterContext, freshView } from '../context.ts';
import { findService, findTask } from '../lookup.ts';
import { pathParameter } from '../query.ts';
import { sendJson } from '../reply.ts';

/** Why things are as they are; not part of Docker's API. */
export function explainRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/services/:id/explain', async (request, reply) => {
    const view = await freshView(context);
    const { id } = findService(view, pathParameter(request, 'id'));
    return sendJson(reply, context.cluster.explainService(view, id));
  });

  app.get('/tasks/:id/explain', async (request, reply) => {
    const view = await freshView(context);
    const { id } = findTask(view, pathParameter(request, 'id'));
    return sendJson(reply, context.cluster.explainTask(view, id));
  });
}
