import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  type Cluster,
  ClusterError,
  type ClusterSpec,
  canonicalJson,
  updateObject,
  type View,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import type { DockerJson } from '../engine.ts';
import { checkReadVersion } from '../lookup.ts';
import { jsonBody, queryFlag, versionParameter } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { renderClusterInfo, renderSwarm } from '../wire/swarm.ts';

/** The cluster object, as a manager serves it. */
export function swarmRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/swarm', async (_request, reply) => {
    const cluster = theCluster(await freshView(context));
    return sendJson(reply, renderSwarm(cluster));
  });

  app.post('/swarm/update', async (request, reply) => {
    await update(context, request);
    return sendEmpty(reply, 200);
  });

  app.get('/swarm/unlockkey', async (_request, reply) => {
    await freshView(context);
    return sendJson(reply, { UnlockKey: '' });
  });
}

function theCluster(view: View): Cluster {
  if (view.cluster) return view.cluster;
  throw new ClusterError('unavailable', 'the cluster is still being set up');
}

async function update(context: ClusterContext, request: FastifyRequest): Promise<void> {
  const version = versionParameter(request);
  const sent = jsonBody<ClusterSpec>(request);
  const worker = queryFlag(request, 'rotateWorkerToken');
  const manager = queryFlag(request, 'rotateManagerToken');
  if (sent.EncryptionConfig?.AutoLockManagers) {
    throw new ClusterError('not-implemented', 'autolock: the log is not encrypted at rest here');
  }
  await transact(context, (draft) => {
    const cluster = theCluster(draft);
    checkReadVersion(cluster, version);
    const changed =
      Object.keys(sent).length > 0 && canonicalJson(sent) !== canonicalJson(cluster.spec);
    if (!changed && !worker && !manager) return;
    const { newJoinToken } = context.cluster;
    const joinTokens = {
      worker: worker ? newJoinToken(cluster, 'worker') : cluster.joinTokens.worker,
      manager: manager ? newJoinToken(cluster, 'manager') : cluster.joinTokens.manager,
    };
    const spec = changed ? sent : cluster.spec;
    const specSeen = changed ? cluster.version : cluster.specSeen;
    addChanges(draft, [updateObject('cluster', { ...cluster, spec, specSeen, joinTokens })]);
  });
}

/** The part of `GET /info` that only a manager knows. */
export function clusterSummary(view: View): DockerJson {
  const cluster = view.cluster;
  let managers = 0;
  for (const node of view.list('node')) if (node.spec.Role === 'manager') managers += 1;
  return {
    Nodes: view.count('node'),
    Managers: managers,
    ...(cluster && { Cluster: renderClusterInfo(cluster) }),
  };
}
