import type { FastifyInstance } from 'fastify';
import type { AgentContext } from '../context.ts';
import type { SwarmInitRequest, SwarmJoinRequest } from '../node-control.ts';
import { jsonBody, queryFlag } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';

/** `swarm init|join|leave|unlock`: about this host, so answered here. */
export function membershipRoutes(app: FastifyInstance, { node }: AgentContext): void {
  app.post('/swarm/init', async (request, reply) => {
    return sendJson(reply, await node.init(jsonBody<SwarmInitRequest>(request)));
  });

  app.post('/swarm/join', async (request, reply) => {
    await node.join(jsonBody<SwarmJoinRequest>(request));
    return sendEmpty(reply, 200);
  });

  app.post('/swarm/leave', async (request, reply) => {
    await node.leave({ force: queryFlag(request, 'force') });
    return sendEmpty(reply, 200);
  });

  app.post('/swarm/unlock', async (request, reply) => {
    const { UnlockKey } = jsonBody<{ readonly UnlockKey?: string }>(request);
    await node.unlock(UnlockKey ?? '');
    return sendEmpty(reply, 200);
  });
}
