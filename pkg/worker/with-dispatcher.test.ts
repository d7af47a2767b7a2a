import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../ca/index.ts';
import { Dispatcher, recordNewNode } from '../dispatcher/index.ts';
import { silentLogger, systemClock, systemRandom } from '../io/index.ts';
import {
  type ClusterId,
  createObject,
  type DesiredState,
  type InstantMs,
  type NetworkId,
  type NetworkTable,
  type NodeDescription,
  type NodeId,
  type NodeRole,
  removeObject,
  revisionId,
  type ServiceId,
  type Task,
  type TaskId,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';
import { Credentials, type Identity, RaftTransport, RpcServer } from '../rpc/index.ts';
import { createStore, type Store } from '../store/index.ts';
import { DESCRIPTION, eventually } from './bench.ts';
import { FakeEngine } from './fake-engine.ts';
import { connectManager, type ManagerLink } from './manager-link.ts';
import { recordFile } from './task-db.ts';
import { Worker } from './worker.ts';

const CLUSTER = 'c'.repeat(25) as ClusterId;
const MANAGER = 'm'.repeat(25) as NodeId;
const NODE = 'w'.repeat(25) as NodeId;
const NET = 'net' as NetworkId;
const SERVICE = 'svc' as ServiceId;
const AT = 0 as InstantMs;
const BASE = { version: VERSION_NONE, createdAt: AT, updatedAt: AT };
const PARTS = { clock: systemClock, random: systemRandom, log: silentLogger };

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function identities(): Promise<Readonly<Record<NodeRole, Identity>>> {
  const now = Date.now();
  const root = await createRoot({ clusterId: CLUSTER, now });
  const identity = async (nodeId: NodeId, role: NodeRole): Promise<Identity> => {
    const { csrPem, keyPem } = await createCertificateRequest();
    const request = { root, csrPem, nodeId, role, clusterId: CLUSTER, now };
    const certificatePem = await issueNodeCertificate(request);
    return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
  };
  return { manager: await identity(MANAGER, 'manager'), worker: await identity(NODE, 'worker') };
}

interface Cluster {
  readonly store: Store;
  readonly dispatcher: Dispatcher;
  readonly engine: FakeEngine;
  readonly applied: (readonly NetworkTable[])[];
  task(id: string): Task | undefined;
  want(id: string, desiredState: DesiredState): Promise<void>;
}

/** A manager with a real store, and an agent with a fake engine, over mTLS on loopback. */
async function cluster(): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), 'muster-pair-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const { manager, worker } = await identities();
  const credentials = new Credentials(manager);
  const transport = new RaftTransport({ ...PARTS, credentials, raftId: 7 });
  const store = createStore({
    directory: join(directory, 'raft'),
    clusterId: CLUSTER,
    self: { raftId: 7, nodeId: MANAGER, address: '127.0.0.1:1' },
    begin: { kind: 'bootstrap' },
    transport,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    onFatal: (error): void => {
      throw error;
    },
  });
  const dispatcher = new Dispatcher({ ...PARTS, store, credentials });
  const server = new RpcServer({ credentials, log: silentLogger });
  for (const service of [transport.service(), ...dispatcher.services]) server.add(service);
  const address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
  await store.start();
  const abort = new AbortController();
  const serving = dispatcher.run(abort.signal);
  await store.update(seed);
  const { engine, applied, running } = agent(worker, { directory, address, abort });
  cleanups.push(async () => {
    abort.abort();
    await Promise.all([running, serving]);
    await store.stop();
    server.close();
    transport.close();
  });
  return {
    store,
    dispatcher,
    engine,
    applied,
    task: (id) => store.view.get('task', id as TaskId),
    want: async (id, desiredState): Promise<void> => {
      await store.update((draft) => {
        const task = draft.get('task', id as TaskId);
        if (task) draft.add(updateObject('task', { ...task, desiredState }));
      });
    },
  };
}

function agent(
  identity: Identity,
  where: {
    readonly directory: string;
    readonly address: string;
    readonly abort: AbortController;
  },
): {
  engine: FakeEngine;
  applied: (readonly NetworkTable[])[];
  running: Promise<void>;
} {
  const engine = new FakeEngine();
  const applied: (readonly NetworkTable[])[] = [];
  const credentials = new Credentials(identity);
  const worker = new Worker({
    ...PARTS,
    credentials,
    connect: (address): ManagerLink => connectManager(address, credentials),
    engine,
    network: {
      applyTables: (tables): ReadonlyMap<string, number> => {
        engine.calls.push(`tables ${tables.map(stateOf).join()}`);
        applied.push(tables);
        return new Map();
      },
      flowsForgotten: (): Promise<void> => Promise.resolve(),
      check: (): Promise<undefined> => Promise.resolve(undefined),
    },
    records: recordFile(where.directory),
    managers: [where.address],
    description: (): NodeDescription => DESCRIPTION,
    address: '192.0.2.1',
  });
  return { engine, applied, running: worker.run(where.abort.signal) };
}

function stateOf({ endpoints }: NetworkTable): string {
  return endpoints.map(({ taskId, state }) => `${taskId}:${state}`).join('+');
}

function seed(draft: Parameters<Parameters<Store['update']>[0]>[0]): void {
  const spec = {
    Name: 'web',
    TaskTemplate: { ContainerSpec: { Image: 'x' }, Networks: [{ Target: NET }] },
  };
  recordNewNode(draft, { nodeId: NODE, role: 'worker', now: AT });
  draft.add(
    createObject('network', {
      ...BASE,
      id: NET,
      spec: { Name: 'front' },
      subnets: [{ subnet: '10.0.1.0/24', gateway: '10.0.1.1' }],
      vni: 4096,
    }),
  );
  draft.add(
    createObject('revision', {
      ...BASE,
      id: revisionId(SERVICE, 1),
      serviceId: SERVICE,
      specVersion: 1,
      spec,
    }),
  );
  draft.add(
    createObject('task', {
      ...BASE,
      id: 't1' as TaskId,
      serviceId: SERVICE,
      serviceName: 'web',
      specVersion: 1,
      slot: 1,
      nodeId: NODE,
      desiredState: 'running',
      status: { state: 'assigned', at: AT, message: '' },
      networks: [{ networkId: NET, addresses: ['10.0.1.5/24'], aliases: [] }],
    }),
  );
}

describe('agent and leader', () => {
  it('bring a task into service, drain it, stop it and forget it', async () => {
    const one = await cluster();
    await eventually(() => expect(one.task('t1')?.status.state).toBe('running'));
    expect(one.store.view.get('node', NODE)?.status).toMatchObject({
      state: 'ready',
      address: '192.0.2.1',
    });
    await one.want('t1', 'shutdown');
    await eventually(() => expect(one.task('t1')?.status.state).toBe('shutdown'));
    const end = one.engine.calls.slice(one.engine.calls.indexOf('tables t1:in-service'));
    expect(end.slice(0, 3)).toEqual(['tables t1:in-service', 'tables t1:out', 'stop t1']);
    expect(one.engine.task('t1')?.state).toBe('exited');
    await one.store.update((draft) => {
      const task = draft.get('task', 't1' as TaskId);
      if (task) draft.add(removeObject('task', task));
    });
    await eventually(() => expect(one.engine.task('t1')).toBeUndefined());
  });

  it('bring the logs of a task to who asks for them', async () => {
    const one = await cluster();
    await eventually(() => expect(one.task('t1')?.status.state).toBe('running'));
    const lines = ['one\n', 'two\n'].map((text) => ({
      timeNs: 1n,
      stream: 'stdout' as const,
      data: Buffer.from(text),
      partial: false,
    }));
    one.engine.logs.set('t1', lines);
    const selector = { serviceIds: [SERVICE], taskIds: [] };
    const options = { follow: false, stdout: true, stderr: true };
    const read: string[] = [];
    const signal = new AbortController().signal;
    for await (const { nodeId, data } of one.dispatcher.questions.logs(
      { selector, options },
      signal,
    )) {
      read.push(`${nodeId.slice(0, 1)} ${Buffer.from(data)}`);
    }
    expect(read).toEqual(['w one\n', 'w two\n']);
  });
});
