import { arch, release } from 'node:os';
import type { FastifyInstance } from 'fastify';
import type { ClusterContext } from './context.ts';
import { freshView } from './context.ts';
import { sendJson } from './reply.ts';
import { clusterVolumeRoutes } from './route/cluster-volume.ts';
import { configRoutes } from './route/config.ts';
import { clusterEventRoutes } from './route/events.ts';
import { explainRoutes } from './route/explain.ts';
import { logRoutes } from './route/logs.ts';
import { networkRoutes } from './route/network.ts';
import { nodeRoutes } from './route/node.ts';
import { pingRoute } from './route/ping.ts';
import { secretRoutes } from './route/secret.ts';
import { serviceRoutes } from './route/service.ts';
import { clusterSummary, swarmRoutes } from './route/swarm.ts';
import { taskRoutes } from './route/task.ts';
import { API_VERSION, API_VERSION_MIN } from './versions.ts';

/** Everything a manager process serves: the agent of its host hands it requests, and it can be asked directly. */
export function managerRoutes(
  app: FastifyInstance,
  context: ClusterContext,
  version: string,
): void {
  pingRoute(app, () => 'active/manager');
  serviceRoutes(app, context);
  taskRoutes(app, context);
  explainRoutes(app, context);
  nodeRoutes(app, context);
  secretRoutes(app, context);
  configRoutes(app, context);
  networkRoutes(app, context);
  clusterVolumeRoutes(app, context);
  swarmRoutes(app, context);
  logRoutes(app, context);
  clusterEventRoutes(app, context);
  app.get('/version', (_request, reply) =>
    sendJson(reply, {
      Platform: { Name: 'Muster' },
      Components: [{ Name: 'Manager', Version: version, Details: { ApiVersion: API_VERSION } }],
      Version: version,
      ApiVersion: API_VERSION,
      MinAPIVersion: API_VERSION_MIN,
      Os: 'linux',
      Arch: GO_ARCHITECTURES.get(arch()) ?? arch(),
      KernelVersion: release(),
    }),
  );
  app.get('/info', async (_request, reply) => {
    const view = await freshView(context);
    return sendJson(reply, { ServerVersion: version, Swarm: managerSwarm(context, view) });
  });
}

const GO_ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
]);

/** `Swarm` of a manager that is asked without an agent in front of it. */
function managerSwarm(
  context: ClusterContext,
  view: Awaited<ReturnType<typeof freshView>>,
): object {
  const { nodeId, store } = context.cluster;
  return {
    NodeID: nodeId,
    NodeAddr: view.get('node', nodeId)?.status.address ?? '',
    LocalNodeState: 'active',
    ControlAvailable: true,
    Error: '',
    RemoteManagers: store.members().map((each) => ({ NodeID: each.nodeId, Addr: each.address })),
    ...clusterSummary(view),
  };
}
