import type { FastifyInstance } from 'fastify';
import { ClusterError } from '../model/index.ts';
import type { AgentContext } from './context.ts';
import type { NodeControl } from './node-control.ts';
import { containerRoutes } from './route/container.ts';
import { containerStreamRoutes } from './route/container-stream.ts';
import { execRoutes } from './route/exec.ts';
import { hostEventRoutes } from './route/host-events.ts';
import { hostNetworkRoutes } from './route/host-network.ts';
import { imageRoutes } from './route/image.ts';
import { membershipRoutes } from './route/membership.ts';
import { pingRoute } from './route/ping.ts';
import { systemRoutes } from './route/system.ts';
import { volumeRoutes } from './route/volume.ts';

/** Served by the manager of this host, handed over byte for byte. */
const CLUSTER_PATHS = [
  '/services',
  '/services/*',
  '/tasks',
  '/tasks/*',
  '/nodes',
  '/nodes/*',
  '/networks/:id/check',
  '/secrets',
  '/secrets/*',
  '/configs',
  '/configs/*',
  '/swarm',
  '/swarm/update',
  '/swarm/unlockkey',
];

/** Everything a host's socket serves. */
export function agentRoutes(app: FastifyInstance, context: AgentContext): void {
  pingRoute(app, () => swarmHeader(context.node));
  systemRoutes(app, context);
  membershipRoutes(app, context);
  containerRoutes(app, context);
  containerStreamRoutes(app, context);
  execRoutes(app, context);
  imageRoutes(app, context);
  volumeRoutes(app, context);
  hostNetworkRoutes(app, context);
  hostEventRoutes(app, context);
  forwardedRoutes(app, context);
}

function swarmHeader(node: NodeControl): string {
  const { localNodeState, controlAvailable } = node.status();
  if (localNodeState !== 'active') return localNodeState;
  return controlAvailable ? 'active/manager' : 'active/worker';
}

/** In a scope of their own, where bodies are left unread. */
function forwardedRoutes(app: FastifyInstance, context: AgentContext): void {
  const explain = (message: string): Promise<ClusterError | undefined> =>
    explainNetwork(context, message);
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload));
    for (const path of CLUSTER_PATHS) {
      scope.all(path, (request, reply) => context.manager.forward(request, reply, explain));
    }
    done();
  });
}

/** A network that the manager does not know may be one of this host, which services cannot use. */
async function explainNetwork(
  { engine }: AgentContext,
  message: string,
): Promise<ClusterError | undefined> {
  const name = /^network (\S+) not found$/.exec(message)?.[1];
  if (name === undefined) return undefined;
  const local = await engine.networks.list();
  if (!local.some((network) => network['Name'] === name)) return undefined;
  const text = `The network ${name} cannot be used with services. Only networks scoped to the swarm can be used, such as those created with the overlay driver.`;
  return new ClusterError('forbidden', text);
}
