import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  type Cluster,
  ClusterError,
  type ClusterSpec,
  canonicalJson,
  updateObject,
  type View,
} from '../../model/index.ts';
import { newUnlockKey } from '../../store/index.ts';
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

  app.get('/swarm/unlockkey', async (request, reply) => {
    // Asked by the agent about the key that this host's log is locked with, whoever else can be reached.
    const local = queryFlag(request, 'local');
    const view = local ? context.cluster.store.view : await freshView(context);
    return sendJson(reply, { UnlockKey: theCluster(view).unlockKey ?? '' });
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
  const rotateKey = queryFlag(request, 'rotateManagerUnlockKey');
  await transact(context, (draft) => {
    const cluster = theCluster(draft);
    checkReadVersion(cluster, version);
    const changed =
      Object.keys(sent).length > 0 && canonicalJson(sent) !== canonicalJson(cluster.spec);
    if (!changed && !worker && !manager && !rotateKey) return;
    const { newJoinToken } = context.cluster;
    const joinTokens = {
      worker: worker ? newJoinToken(cluster, 'worker') : cluster.joinTokens.worker,
      manager: manager ? newJoinToken(cluster, 'manager') : cluster.joinTokens.manager,
    };
    const spec = changed ? sent : cluster.spec;
    const specSeen = changed ? cluster.version : cluster.specSeen;
    const unlockKey = nextUnlockKey({ ...cluster, spec }, rotateKey);
    const next = { ...cluster, spec, specSeen, joinTokens, unlockKey };
    addChanges(draft, [updateObject('cluster', next)]);
  });
}

function nextUnlockKey({ spec, unlockKey }: Cluster, rotate: boolean): string | undefined {
  if (spec.EncryptionConfig?.AutoLockManagers !== true) return undefined;
  return rotate || unlockKey === undefined ? newUnlockKey() : unlockKey;
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
