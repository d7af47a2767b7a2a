import { join } from 'node:path';
import { createApiServer } from '../../pkg/api/index.ts';
import { type AuthorityState, CertificateAuthority, loadIdentity } from '../../pkg/ca/index.ts';
import { Drivers } from '../../pkg/csi/index.ts';
import { Dispatcher, recordNewNode } from '../../pkg/dispatcher/index.ts';
import {
  type Clock,
  goFirst,
  jsonLogger,
  type Logger,
  type LogLevel,
  newObjectId,
  sleep,
  standardOutput,
  systemClock,
  systemRandom,
  writeFileAtomic,
} from '../../pkg/io/index.ts';
import { ClusterError, errorMessage, type NodeId, type NodeRole } from '../../pkg/model/index.ts';
import {
  Credentials,
  caService,
  controlService,
  hostAnswers,
  RaftTransport,
  RpcServer,
} from '../../pkg/rpc/index.ts';
import {
  continueAlone,
  createStore,
  type LogKeys,
  runControlLoop,
  type Store,
} from '../../pkg/store/index.ts';
import { giveUpOthers } from './alone.ts';
import { type Begin, begun, readBegin, selfOf, takenIn } from './begin.ts';
import { clusterApi } from './cluster-api.ts';
import { HELP, type ManagerConfig, managerConfig } from './config.ts';
import { addFirstObjects } from './first-objects.ts';
import { introduceTo } from './introduce.ts';
import { openKeys, wrapKeys } from './keys.ts';
import { LEADER_IGNORES, LEADER_LOOPS } from './leader.ts';
import { keepMembers, membership } from './membership.ts';
import { rotateNetworkKeys } from './network-keys.ts';
import { controlVolumes } from './volume-controller.ts';

const VERSION = '0.1.0';
/** Sockets of storage drivers, in the data directory. */
const DRIVERS_DIRECTORY = 'csi';
const JOIN_PAUSE_MS = 250;
/** Tells the agent that there is nothing to start any more. */
const REMOVED_FILE = 'removed';
/** The agent renews the certificate file of the host; a manager process can live longer than a certificate. */
const IDENTITY_CHECK_MS = 60 * 60 * 1000;
const LAST_ANSWERS_MS = 2_000;
/** Long enough for any network between managers. */
const HOST_ANSWER_MS = 500;

interface Base {
  readonly config: ManagerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly credentials: Credentials;
  readonly begin: Begin;
  readonly keys: LogKeys;
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
    write: standardOutput(),
  });
  goFirst();
  const keys = openKeys(config['data-dir']);
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
  await serve({ config, clock, log, credentials, begin, keys, abort });
}

/** Wires the parts and runs them until the signal; the order of the stop is the reverse. */
async function serve(base: Base): Promise<void> {
  const { config, clock, log, credentials, begin, abort } = base;
  const { nodeId } = credentials.identity;
  const random = systemRandom;
  const transport = new RaftTransport({ credentials, raftId: begin.raftId, clock, random, log });
  await aloneIfOrdered(base);
  const store = openStore(base, transport);
  wrapKeys(store, base.keys);
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
    hostAnswers: (address): Promise<boolean> => hostAnswers(address, HOST_ANSWER_MS),
  });
  const api = await createApiServer({
    cluster: clusterApi({ store, dispatcher, nodeId, random, clock }),
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
  for (const service of [
    transport.service(),
    caService(authority(store, credentials)),
    controlService(membership(store, clock, selfOf(begin, nodeId))),
    ...dispatcher.services,
  ]) {
    server.add(service);
  }
  server.addProtocol(transport.protocol());
  await server.listen(begin.listen);
  await store.start();
  const running = [
    dispatcher.run(abort.signal),
    runControlLoop({
      store,
      deciders: LEADER_LOOPS,
      ignored: LEADER_IGNORES,
      clock,
      random,
      logger: log,
      signal: abort.signal,
    }),
    keepMembers({ store, clock, log, signal: abort.signal }),
    introduceTo(begin.managers ?? [], {
      store,
      self: selfOf(begin, nodeId),
      credentials,
      clock,
      log,
      signal: abort.signal,
    }),
  ];
  await firstObjects(base, store);
  begun(config['data-dir'], begin);
  await api.listen({ path: join(config['run-dir'], 'manager.sock') });
  log.info('manager serves', { node: nodeId, address: begin.advertise });
  running.push(...chores(base, store));
  await Promise.all(running);
  // The store's end answers what waits for it, and the answers still go out.
  await Promise.all([api.close(LAST_ANSWERS_MS), store.stop()]);
  server.close();
  transport.close();
}

/** What a manager does beside answering and deciding. */
function chores(base: Base, store: Store): readonly Promise<void>[] {
  const { clock, log, abort } = base;
  return [
    followIdentity(base),
    serveVolumes(base, store),
    rotateNetworkKeys({ store, clock, random: systemRandom, log, signal: abort.signal }),
  ];
}

async function serveVolumes({ config, clock, log, abort }: Base, store: Store): Promise<void> {
  const drivers = new Drivers(join(config['data-dir'], DRIVERS_DIRECTORY));
  await controlVolumes({ store, drivers, clock, log, signal: abort.signal });
  drivers.close();
}

async function followIdentity({ config, clock, credentials, abort }: Base): Promise<void> {
  while (!abort.signal.aborted) {
    await sleep(clock, IDENTITY_CHECK_MS, abort.signal).catch(() => undefined);
    const identity = await loadIdentity(join(config['data-dir'], 'identity'));
    if (identity && identity.certificatePem !== credentials.identity.certificatePem) {
      credentials.replace(identity);
    }
  }
}

function logFolder(config: ManagerConfig): string {
  return join(config['data-dir'], 'manager', 'raft');
}

/** `swarm init --force-new-cluster`; nothing happens when it is done already. */
async function aloneIfOrdered({
  config,
  clock,
  log,
  credentials,
  begin,
  keys,
}: Base): Promise<void> {
  if (begin.how.kind !== 'alone') return;
  const { clusterId, nodeId } = credentials.identity;
  await continueAlone({
    directory: logFolder(config),
    clusterId,
    former: begin.how.former,
    self: selfOf(begin, nodeId),
    clock,
    random: systemRandom,
    logger: log,
    codec: keys.codec,
  });
}

function openStore(
  { config, clock, log, credentials, begin, keys, abort }: Base,
  transport: RaftTransport,
): Store {
  const { clusterId, nodeId } = credentials.identity;
  return createStore({
    directory: logFolder(config),
    clusterId,
    self: selfOf(begin, nodeId),
    begin:
      begin.how.kind === 'bootstrap'
        ? { kind: 'bootstrap' }
        : { kind: 'join', members: begin.how.kind === 'join' ? (begin.how.members ?? []) : [] },
    transport,
    clock,
    random: systemRandom,
    logger: log,
    codec: keys.codec,
    onFatal: (error): void => {
      log.error('the store failed; this manager ends and recovers from its files', { error });
      process.exit(1);
    },
    onRemoved: (): void => {
      log.warn('this manager was taken out of the group');
      writeFileAtomic(join(config['data-dir'], 'manager', REMOVED_FILE), '', 0o600);
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
    roleOf: (nodeId): NodeRole | undefined => {
      const node = store.view.get('node', nodeId);
      // One that is demoted needs its certificate until the group has let it go.
      return node?.manager ? 'manager' : node?.spec.Role;
    },
    admit: async (node): Promise<void> => {
      await store.update((draft) => recordNewNode(draft, { ...node, now: store.now() }));
    },
    newNodeId: () => newObjectId(systemRandom) as NodeId,
    now: () => store.now(),
  });
}

/** A new cluster's first entry, or that of a survivor; otherwise there is nothing to add. */
async function firstObjects({ begin, credentials, log }: Base, store: Store): Promise<void> {
  if (begin.how.kind === 'alone')
    await giveUpOthers(store, selfOf(begin, credentials.identity.nodeId));
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
