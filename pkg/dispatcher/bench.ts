import { type Clock, type Logger, silentLogger, systemRandom, type Timer } from '../io/index.ts';
import {
  createObject,
  type DesiredState,
  type InstantMs,
  type NetworkId,
  type Node,
  type NodeDescription,
  type NodeId,
  revisionId,
  type SecretId,
  type ServiceId,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';
import {
  type AgentMessage,
  Credentials,
  type Identity,
  ItemQueue,
  type ManagerMessage,
  type ManagerSession,
} from '../rpc/index.ts';
import { Dispatcher } from './dispatcher.ts';
import { FakeStore } from './fake-store.ts';
import { recordNewNode } from './node-record.ts';

/** Time stands still until `advance`. */
export class VirtualClock implements Clock {
  #now = 1_000_000;
  #timers: { at: number; action: () => void }[] = [];
  now(): InstantMs {
    return this.#now as InstantMs;
  }
  monotonicMs(): number {
    return this.#now;
  }
  after(delayMs: number, action: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), action };
    this.#timers.push(entry);
    const cancel = (): void => {
      this.#timers = this.#timers.filter((one) => one !== entry);
    };
    return { cancel, [Symbol.dispose]: cancel };
  }
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.toSorted((a, b) => a.at - b.at)[0];
      if (!next || next.at > end) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets everything that waits for promises only run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const DESCRIPTION: NodeDescription = {
  hostname: 'host',
  os: 'linux',
  architecture: 'x86_64',
  nanoCpus: 2e9,
  memoryBytes: 2 ** 31,
  engineVersion: '1',
  engineLabels: {},
  plugins: [],
};
export const NET = 'net' as NetworkId;
export const SERVICE = 'svc' as ServiceId;
export const SECRET = 'sec' as SecretId;
export const AT = 0 as InstantMs;
const BASE = { version: VERSION_NONE, createdAt: AT, updatedAt: AT };

export class Agent {
  readonly nodeId: NodeId;
  readonly received: ManagerMessage[] = [];
  readonly #toManager = new ItemQueue<AgentMessage>(1_000);
  done = false;
  failure: unknown;

  constructor(dispatcher: Dispatcher, nodeId: string) {
    this.nodeId = nodeId as NodeId;
    const stream: ManagerSession = {
      send: (message) => this.received.push(message) > 0,
      drained: async () => undefined,
      end: () => undefined,
      cancel: () => undefined,
      [Symbol.asyncIterator]: () => this.#toManager[Symbol.asyncIterator](),
    };
    const caller = { nodeId: this.nodeId, role: 'worker', clusterId: 'c', address: '10.0.0.1' };
    dispatcher
      .serve(stream, caller as Parameters<Dispatcher['serve']>[1])
      .catch((error: unknown) => {
        this.failure = error;
      })
      .finally(() => {
        this.done = true;
      });
  }

  say(message: AgentMessage): void {
    void this.#toManager.push([message]);
  }
  hangUp(): void {
    this.#toManager.close();
  }
  register(): void {
    this.say({
      kind: 'register',
      description: DESCRIPTION,
      address: `192.0.2.${this.nodeId}`,
      agentRun: this.nodeId,
    });
  }
  assignments(): Extract<ManagerMessage, { kind: 'assignments' }>[] {
    return this.received.filter((one) => one.kind === 'assignments');
  }
  acknowledgeAll(): void {
    const sequence = this.assignments().at(-1)?.sequence ?? 0;
    this.say({ kind: 'acknowledge', sequence });
  }
  /** The state that this agent was last told to bring the task to. */
  desired(taskId: string): DesiredState | undefined {
    let found: DesiredState | undefined;
    for (const { changes } of this.assignments()) {
      for (const { task } of changes.tasks) if (task.id === taskId) found = task.desiredState;
      if (changes.removedTasks.includes(taskId as TaskId)) found = undefined;
    }
    return found;
  }
  /** State of the task's endpoint as this agent was told last. */
  endpoint(taskId: string): string | undefined {
    let found: string | undefined;
    for (const { changes } of this.assignments()) {
      for (const { endpoints } of changes.networks) {
        found = endpoints.find((one) => one.taskId === taskId)?.state;
      }
      for (const { endpoints, removedEndpoints } of changes.networkPatches) {
        found = endpoints.find((one) => one.taskId === taskId)?.state ?? found;
        if (removedEndpoints.includes(taskId as TaskId)) found = undefined;
      }
    }
    return found;
  }
}

export interface Bench extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly store: FakeStore;
  readonly dispatcher: Dispatcher;
  /** What it warned of. */
  readonly warnings: readonly { readonly message: string; readonly fields: unknown }[];
  /** One that has said its first word. */
  agent(nodeId: string, first?: 'register' | 'find-leader'): Promise<Agent>;
  node(nodeId: string): Node | undefined;
  task(id: string, nodeId: string, state: TaskState, desired?: DesiredState): void;
  change(id: string, change: { state?: TaskState; desired?: DesiredState }): void;
}

export async function bench(nodes: readonly string[] = ['1', '2']): Promise<Bench> {
  const clock = new VirtualClock();
  const store = new FakeStore(() => clock.now());
  const abort = new AbortController();
  const warnings: { readonly message: string; readonly fields: unknown }[] = [];
  const warn: Logger['warn'] = (message, fields) => {
    warnings.push({ message, fields });
  };
  const dispatcher = new Dispatcher({
    store,
    clock,
    random: systemRandom,
    log: { ...silentLogger, warn },
    credentials: new Credentials({} as Identity),
  });
  const running = dispatcher.run(abort.signal);
  seed(store);
  store.lead(true);
  for (const id of nodes) {
    await store.update((draft) =>
      recordNewNode(draft, { nodeId: id as NodeId, role: 'worker', now: clock.now() }),
    );
  }
  const bench: Bench = {
    clock,
    store,
    dispatcher,
    warnings,
    agent: async (nodeId, first = 'register') => {
      const agent = new Agent(dispatcher, nodeId);
      if (first === 'register') agent.register();
      else agent.say({ kind: first });
      await settle();
      return agent;
    },
    node: (nodeId) => store.view.get('node', nodeId as NodeId),
    task: (id, nodeId, state, desired = 'running') => {
      const task: Task = {
        ...BASE,
        id: id as TaskId,
        serviceId: SERVICE,
        serviceName: 'web',
        specVersion: 1,
        slot: 1,
        nodeId: nodeId as NodeId,
        desiredState: desired,
        status: { state, at: AT, message: '' },
        networks: [{ networkId: NET, addresses: ['10.0.1.5/24'], aliases: [] }],
      };
      store.write([createObject('task', task)]);
    },
    change: (id, { state, desired }) => {
      const task = store.view.get('task', id as TaskId);
      if (!task) throw new Error(`no task ${id}`);
      store.write([
        updateObject('task', {
          ...task,
          desiredState: desired ?? task.desiredState,
          status: { ...task.status, state: state ?? task.status.state },
        }),
      ]);
    },
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await running;
    },
  };
  return bench;
}

/** A network, and a service with a secret on it. */
function seed(store: FakeStore): void {
  const spec = {
    Name: 'web',
    TaskTemplate: {
      ContainerSpec: { Image: 'x', Secrets: [{ SecretID: SECRET, SecretName: 'key' }] },
      Networks: [{ Target: NET }],
    },
  };
  store.write([
    createObject('network', {
      ...BASE,
      id: NET,
      spec: { Name: 'front' },
      subnets: [{ subnet: '10.0.1.0/24', gateway: '10.0.1.1' }],
      vni: 4096,
    }),
    createObject('secret', { ...BASE, id: SECRET, spec: { Name: 'key', Data: 'c2VjcmV0' } }),
    createObject('service', {
      ...BASE,
      id: SERVICE,
      spec,
      specVersion: 1,
      endpoint: { ports: [], virtualIps: [{ networkId: NET, address: '10.0.1.2/24' }] },
    }),
    createObject('revision', {
      ...BASE,
      id: revisionId(SERVICE, 1),
      serviceId: SERVICE,
      specVersion: 1,
      spec,
    }),
  ]);
}
