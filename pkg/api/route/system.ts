import type { FastifyInstance } from 'fastify';
import type { AgentContext } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { sendJson } from '../reply.ts';
import { API_VERSION, API_VERSION_MIN } from '../versions.ts';

export function systemRoutes(app: FastifyInstance, context: AgentContext): void {
  const { engine } = context;
  app.get('/version', async (_request, reply) => {
    const version = await engine.version();
    const spoken = { ApiVersion: API_VERSION, MinAPIVersion: API_VERSION_MIN };
    return sendJson(reply, { ...version, ...spoken, Components: withDetails(version, spoken) });
  });

  app.get('/info', async (_request, reply) => {
    const info = await engine.info();
    return sendJson(reply, { ...info, Swarm: await swarmInfo(context) });
  });

  app.get('/system/df', async (_request, reply) => sendJson(reply, await engine.diskUsage()));
  app.get('/plugins', (_request, reply) => sendJson(reply, []));
  app.post('/build/prune', (_request, reply) =>
    sendJson(reply, { CachesDeleted: [], SpaceReclaimed: 0 }),
  );
}

/** `docker version` prints the details of the component `Engine`, not the fields beside it. */
function withDetails(version: DockerJson, spoken: DockerJson): unknown {
  const { Components, GoVersion, GitCommit, BuildTime } = version;
  if (!Array.isArray(Components)) return Components;
  const beside = { GoVersion, GitCommit, BuildTime, Experimental: 'false', ...spoken };
  return Components.map((component: DockerJson) => ({
    ...component,
    Details: { ...beside, ...(component['Details'] as DockerJson | undefined) },
  }));
}

/** Membership as this host knows it; the rest only while its manager answers. */
async function swarmInfo({ node, manager, log }: AgentContext): Promise<DockerJson> {
  const status = node.status();
  const own = {
    NodeID: status.nodeId,
    NodeAddr: status.nodeAddr,
    LocalNodeState: status.localNodeState,
    ControlAvailable: status.controlAvailable,
    Error: status.error,
    RemoteManagers: status.remoteManagers.length > 0 ? status.remoteManagers : null,
  };
  if (!manager.available) return own;
  try {
    const { Swarm } = (await manager.json('GET', '/info')) as { readonly Swarm: DockerJson };
    const { Nodes, Managers, Cluster } = Swarm;
    return { ...own, Nodes, Managers, Cluster };
  } catch (error) {
    log.debug('manager did not answer', { error });
    return { ...own, Error: own.Error || 'the manager of this host does not answer' };
  }
}
