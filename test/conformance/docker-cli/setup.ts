import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ApiServer, createApiServer, type NodeControl } from '../../../pkg/api/index.ts';
import { silentLogger } from '../../../pkg/io/index.ts';
import { ClusterError, type ErrorKind } from '../../../pkg/model/index.ts';
import { Docker } from './docker.ts';
import { FakeEngine } from './fake-engine.ts';
import { LiveCluster } from './live-cluster.ts';

export interface Setup extends AsyncDisposable {
  readonly cluster: LiveCluster;
  readonly engine: FakeEngine;
  /** The host's socket: agent in front, manager behind it. */
  readonly socketPath: string;
  readonly docker: Docker;
  /** Changes what the host says of its membership; without a manager the cluster routes have nobody to go to. */
  become(state: 'manager' | 'worker' | 'outsider'): void;
}

/** A host with a manager: two API servers, as two processes make them. */
export async function setUp(): Promise<Setup> {
  const directory = await mkdtemp(join(tmpdir(), 'docker-cli-'));
  const cluster = await LiveCluster.create();
  const engine = new FakeEngine();
  const managerSocket = join(directory, 'manager.sock');
  const socketPath = join(directory, 'api.sock');
  let state: 'manager' | 'worker' | 'outsider' = 'manager';
  const node: NodeControl = {
    init: () => refuse('unavailable', 'This node is already part of a swarm.'),
    join: () => refuse('unavailable', 'This node is already part of a swarm.'),
    leave: () => refuse('unavailable', 'This node is not part of a swarm'),
    unlock: () => refuse('invalid', 'swarm is not locked'),
    status: () => ({
      localNodeState: state === 'outsider' ? 'inactive' : 'active',
      nodeId: state === 'outsider' ? '' : cluster.nodeId,
      nodeAddr: state === 'outsider' ? '' : '192.168.0.1',
      controlAvailable: state === 'manager',
      error: '',
      remoteManagers: [],
    }),
  };
  const shared = { log: silentLogger, version: '0.1.0' };
  const manager = await createApiServer({ ...shared, cluster: cluster.api });
  const agent = await createApiServer({
    ...shared,
    engine,
    node,
    clusterSocket: () => (state === 'manager' ? managerSocket : undefined),
  });
  await manager.listen({ path: managerSocket });
  await agent.listen({ path: socketPath });
  return {
    cluster,
    engine,
    socketPath,
    docker: new Docker(socketPath, directory),
    become: (next): void => {
      state = next;
    },
    [Symbol.asyncDispose]: async (): Promise<void> => {
      cluster[Symbol.dispose]();
      await closeAll([agent, manager]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function closeAll(servers: readonly ApiServer[]): Promise<void> {
  for (const server of servers) await server.close();
}

async function refuse(kind: ErrorKind, message: string): Promise<never> {
  throw new ClusterError(kind, message);
}
