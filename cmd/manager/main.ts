import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createApiServer } from '../../pkg/api/index.ts';
import { type AuthorityState, CertificateAuthority, loadIdentity } from '../../pkg/ca/index.ts';
import { Dispatcher, recordNewNode } from '../../pkg/dispatcher/index.ts';
import {
  type Clock,
  jsonLogger,
  type Logger,
  type LogLevel,
  newObjectId,
  sleep,
  systemClock,
  systemRandom,
} from '../../pkg/io/index.ts';
import { ClusterError, errorMessage, type NodeId } from '../../pkg/model/index.ts';
import {
  Credentials,
  caService,
  controlService,
  RaftTransport,
  RpcServer,
} from '../../pkg/rpc/index.ts';
import { createStore, runControlLoop, type Store } from '../../pkg/store/index.ts';
import { type Begin, readBegin, selfOf, takenIn } from './begin.ts';
import { clusterApi } from './cluster-api.ts';
import { HELP, type ManagerConfig, managerConfig } from './config.ts';
import { addFirstObjects } from './first-objects.ts';
import { LEADER_LOOPS } from './leader.ts';
import { membership } from './membership.ts';

const VERSION = '0.1.0';
const JOIN_PAUSE_MS = 250;

interface Base {
  readonly config: ManagerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly credentials: Credentials;
  readonly begin: Begin;
  readonly abort: AbortController;
}

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const config = managerConfig(args);
  const log = jsonLogger({
    level: config['log-level'] as LogLevel,
    now: Date.now,
    write: (line) => void process.stdout.write(line),
  });
  const identity = await loadIdentity(join(config['data-dir'], 'identity'));
  if (!identity) throw new ClusterError('system', `there is no identity in ${config['data-dir']}`);
  const abort = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => abort.abort());
  const credentials = new Credentials(identity);
  const clock = systemClock;
  const begin = await takenIn(readBegin(config['data-dir']), {
    dataDir: config['data-dir'],
    credentials,
    pause: () => sleep(clock, JOIN_PAUSE_MS, abort.signal),
  });
  await serve({ config, clock, log, credentials, begin, abort });
}

/** Wires the parts and runs them until the signal; the order of the stop is the reverse. */
async function serve(base: Base): Promise<void> {
  const { config, clock, log, credentials, begin, abort } = base;
  const { nodeId } = credentials.identity;
  const random = systemRandom;
  const transport = new RaftTransport({ credentials, raftId: begin.raftId, clock, random, log });
  const store = openStore(base, transport);
  const dispatcher = new Dispatcher({
    store,
    clock,
    random,
    log,
    credentials,
    timing: {
      heartbeatMs: Number(config['heartbeat-period']),
      graceMs: Number(config['node-down-after']),
    },
  });
  const api = await createApiServer({
    cluster: clusterApi({ store, dispatcher, nodeId, random }),
    log,
    version: VERSION,
  });
  const server = new RpcServer({
    credentials,
    log,
    refuse: (caller): string | undefined =>
      store.view.cluster && !store.view.get('node', caller.nodeId)
        ? `node ${caller.nodeId} was removed from the cluster`
        : undefined,
  });
  const control = { ...membership(store), tunnel: (stream: Duplex): void => void stream.destroy() };
  for (const service of [
    transport.service(),
    caService(authority(store, credentials)),
    controlService(control),
    ...dispatcher.services,
  ]) {
    server.add(service);
  }
  await server.listen(begin.listen);
  await store.start();
  const running = [
    dispatcher.run(abort.signal),
    runControlLoop({
      store,
      deciders: LEADER_LOOPS,
      clock,
      random,
      logger: log,
      signal: abort.signal,
    }),
  ];
  await firstObjects(base, store);
  await api.listen({ path: join(config['run-dir'], 'manager.sock') });
  log.info('manager serves', { node: nodeId, address: begin.advertise });
  await Promise.all(running);
  await api.close();
  await store.stop();
  server.close();
  transport.close();
}

function openStore(
  { config, clock, log, credentials, begin, abort }: Base,
  transport: RaftTransport,
): Store {
  const { clusterId, nodeId } = credentials.identity;
  return createStore({
    directory: join(config['data-dir'], 'manager', 'raft'),
    clusterId,
    self: selfOf(begin, nodeId),
    begin:
      begin.how.kind === 'bootstrap'
        ? { kind: 'bootstrap' }
        : { kind: 'join', members: begin.how.members ?? [] },
    transport,
    clock,
    random: systemRandom,
    logger: log,
    onFatal: (error): void => {
      log.error('the store failed; this manager ends and recovers from its files', { error });
      process.exit(1);
    },
    onRemoved: (): void => {
      log.warn('this manager was taken out of the group');
      abort.abort();
    },
  });
}

function authority(store: Store, credentials: Credentials): CertificateAuthority {
  const { clusterId } = credentials.identity;
  return new CertificateAuthority({
    state: (): AuthorityState | undefined => {
      const cluster = store.view.cluster;
      return cluster && { clusterId, root: cluster.ca, joinTokens: cluster.joinTokens };
    },
    roleOf: (nodeId) => store.view.get('node', nodeId)?.spec.Role,
    admit: async (nodeId, role): Promise<void> => {
      await store.update((draft) => recordNewNode(draft, { nodeId, role, now: store.now() }));
    },
    newNodeId: () => newObjectId(systemRandom) as NodeId,
    now: () => store.now(),
  });
}

/** A new cluster's first entry; on later starts, and on managers that joined, there is nothing to add. */
async function firstObjects({ begin, credentials, log }: Base, store: Store): Promise<void> {
  if (begin.how.kind !== 'bootstrap' || store.view.cluster) return;
  const { clusterId, nodeId } = credentials.identity;
  await store.update((draft) =>
    addFirstObjects(draft, { begin, clusterId, nodeId, now: store.now(), random: systemRandom }),
  );
  log.info('cluster made', { cluster: clusterId });
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stdout.write(
      `${JSON.stringify({ level: 'error', message: `manager ended: ${errorMessage(error)}` })}\n`,
    );
    process.exit(1);
  },
);
