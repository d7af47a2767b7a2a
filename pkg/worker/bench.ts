import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { silentLogger, systemClock, systemRandom } from '../io/index.ts';
import type {
  HostNetworkCheck,
  InstantMs,
  NetworkId,
  NetworkTable,
  NodeDescription,
  NodeId,
  SecretId,
  ServiceId,
  ServiceSpec,
  Task,
  TaskId,
  TaskState,
  TaskStatus,
  Version,
} from '../model/index.ts';
import {
  type AgentMessage,
  type AssignmentChanges,
  Credentials,
  dispatcherService,
  type Identity,
  type ManagerMessage,
  type ManagerSession,
  RpcServer,
  type TaskAssignment,
} from '../rpc/index.ts';
import { FakeEngine } from './fake-engine.ts';
import { connectManager, type ManagerLink } from './manager-link.ts';
import { recordFile } from './task-db.ts';
import { Worker } from './worker.ts';

export const WORKER = 'w'.repeat(25) as NodeId;
export const NET = 'net' as NetworkId;
export const SECRET = 'sec' as SecretId;
const BASE = { version: 1 as Version, createdAt: 0 as InstantMs, updatedAt: 0 as InstantMs };

/** Waits as long as a busy machine may need. */
export async function eventually(check: () => void): Promise<void> {
  await vi.waitFor(check, 20_000);
}

const cleanups: (() => void | Promise<void>)[] = [];

/** To be called after each test: ends agents and managers, removes directories. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** A manager that says what the test wants and writes down what it hears. */
export class FakeManager {
  readonly heard: AgentMessage[] = [];
  readonly sessions: ManagerSession[] = [];
  address = '';
  /** Set: this manager does not lead. */
  leader: string | undefined;
  heartbeatMs = 300;
  onHeard: (message: AgentMessage) => void = () => undefined;
  readonly #identity: Identity;
  #sequence = 0;
  #server: RpcServer | undefined;

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  async listen(port = 0): Promise<void> {
    const server = new RpcServer({
      credentials: new Credentials(this.#identity),
      log: silentLogger,
    });
    this.#server = server;
    cleanups.push(() => server.close());
    server.add(
      dispatcherService(async (session) => {
        for await (const message of session) {
          this.heard.push(message);
          this.onHeard(message);
          const asks = message.kind === 'find-leader' || message.kind === 'register';
          if (asks && this.leader !== undefined) {
            session.send({ kind: 'redirect', leader: this.leader });
            return;
          }
          if (message.kind === 'register') {
            this.sessions.push(session);
            session.send({ kind: 'welcome', sessionId: 's', heartbeatMs: this.heartbeatMs });
          }
          if (message.kind === 'heartbeat') session.send({ kind: 'alive' });
        }
      }),
    );
    this.address = `127.0.0.1:${await server.listen(`127.0.0.1:${port}`)}`;
  }

  close(): void {
    this.#server?.close();
  }

  say(message: ManagerMessage): void {
    this.sessions.at(-1)?.send(message);
  }

  async session(count = 1): Promise<void> {
    await eventually(() => expect(this.sessions).toHaveLength(count));
  }

  assign(changes: Partial<AssignmentChanges>, complete = false): number {
    this.#sequence = complete ? 1 : this.#sequence + 1;
    const none = { tasks: [], secrets: [], configs: [], networks: [], networkPatches: [] };
    const gone = { removedTasks: [], removedSecrets: [], removedConfigs: [], removedNetworks: [] };
    this.say({
      kind: 'assignments',
      sequence: this.#sequence,
      complete,
      changes: { ...none, ...gone, ...changes },
    });
    return this.#sequence;
  }

  /** Messages of a kind that were heard. */
  count(kind: AgentMessage['kind']): number {
    return this.heard.filter((message) => message.kind === kind).length;
  }

  /** States reported for the task, oldest first. */
  states(taskId: string): TaskState[] {
    return this.statuses(taskId).map(({ state }) => state);
  }

  statuses(taskId: string): TaskStatus[] {
    return this.heard.flatMap((message) =>
      message.kind === 'report'
        ? message.statuses.filter((one) => one.taskId === taskId).map(({ status }) => status)
        : [],
    );
  }

  async reaches(taskId: string, state: TaskState): Promise<TaskStatus> {
    await eventually(() => expect(this.states(taskId).at(-1)).toBe(state));
    return this.statuses(taskId).at(-1) as TaskStatus;
  }
}

export function assignment(
  id: string,
  change: Partial<Task> = {},
  secret = false,
  RestartPolicy?: NonNullable<ServiceSpec['TaskTemplate']>['RestartPolicy'],
): TaskAssignment {
  const Secrets = secret ? [{ SecretID: SECRET, SecretName: 'key' }] : [];
  return {
    spec: {
      Name: 'web',
      TaskTemplate: { ContainerSpec: { Image: 'nginx', Secrets }, RestartPolicy },
      EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }] },
    },
    task: {
      ...BASE,
      id: id as TaskId,
      serviceId: 'svc' as ServiceId,
      serviceName: 'web',
      specVersion: 1,
      slot: 3,
      nodeId: WORKER,
      desiredState: 'running',
      status: { state: 'assigned', at: 0 as InstantMs, message: '' },
      networks: [],
      ...change,
    },
  };
}

export const table: NetworkTable = {
  networkId: NET,
  name: 'front',
  vni: 4096,
  dataPathPort: 4789,
  ingress: false,
  internal: false,
  subnets: [],
  peers: [],
  endpoints: [],
  services: [],
  gateways: [],
  revision: 1 as Version,
};
export const CHECKED: HostNetworkCheck = {
  revision: 1 as Version,
  digest: 'd',
  differences: [],
  repairs: 3,
  probes: [],
};
export const onNet = { networks: [{ networkId: NET, addresses: ['10.0.1.5/24'], aliases: ['a'] }] };
export const secretObject = { ...BASE, id: SECRET, spec: { Name: 'key', Data: 'c2VjcmV0' } };

/** A manager and a worker of one cluster. */
export interface Identities {
  readonly manager: Identity;
  readonly worker: Identity;
}

export interface Bench {
  readonly manager: FakeManager;
  readonly engine: FakeEngine;
  readonly applied: (readonly NetworkTable[])[];
  readonly directory: string;
  /** Ends the agent as a restart does. */
  stop(): Promise<void>;
  start(): Worker;
  breakNetwork(broken: boolean): void;
  /** Flows to what left the tables are forgotten when this resolves. */
  forgetFlowsWith(done: Promise<void>): void;
  readonly credentials: Credentials;
}

export const DESCRIPTION: NodeDescription = {
  hostname: 'host',
  os: 'linux',
  architecture: 'x86_64',
  nanoCpus: 1,
  memoryBytes: 1,
  engineVersion: '1',
  engineLabels: {},
  plugins: [],
};

export async function bench(
  identities: Identities,
  options: { readonly started?: boolean; readonly aloneAfterMs?: number } = {},
): Promise<Bench> {
  const manager = new FakeManager(identities.manager);
  await manager.listen();
  const engine = new FakeEngine();
  const applied: (readonly NetworkTable[])[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'muster-worker-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const credentials = new Credentials(identities.worker);
  let broken = false;
  let flows: Promise<void> = Promise.resolve();
  let abort = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const stop = async (): Promise<void> => {
    abort.abort();
    await running;
  };
  const start = (): Worker => {
    abort = new AbortController();
    const worker = new Worker({
      credentials,
      connect: (address): ManagerLink => connectManager(address, credentials),
      engine,
      network: {
        applyTables: (tables): ReadonlyMap<string, number> => {
          if (broken) throw new Error('kernel says no');
          applied.push(tables);
          return new Map();
        },
        flowsForgotten: (): Promise<void> => flows,
        check: (id): Promise<HostNetworkCheck | undefined> =>
          Promise.resolve(id === NET ? CHECKED : undefined),
      },
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      records: recordFile(directory),
      managers: [manager.address],
      description: (): NodeDescription => DESCRIPTION,
      address: '192.0.2.1',
      aloneAfterMs: options.aloneAfterMs,
    });
    running = worker.run(abort.signal);
    return worker;
  };
  cleanups.push(stop);
  const made: Bench = {
    manager,
    engine,
    applied,
    directory,
    stop,
    start,
    credentials,
    breakNetwork: (value) => {
      broken = value;
    },
    forgetFlowsWith: (done) => {
      flows = done;
    },
  };
  if (options.started !== false) {
    start();
    await manager.session();
  }
  return made;
}
