/**
 * A leader's deciders and pretended agents over the real tables, in virtual time: no store, no network, no clock.
 * What a pass decides is applied at once; agents move their tasks when the test steps them.
 */
import { decideAllocation } from '../../pkg/allocator/index.ts';
import {
  type AppliedChange,
  applyServiceUpdate,
  type Change,
  type Cluster,
  type ClusterId,
  compareTaskState,
  createObject,
  createService,
  type Decider,
  DraftTables,
  type InstantMs,
  ingressNetworkSpec,
  isRunnable,
  type Network,
  type NetworkId,
  type NetworkSpec,
  type Node,
  type NodeId,
  removeObject,
  reportedStatus,
  rollbackService,
  type Service,
  type ServiceId,
  type ServiceSpec,
  Tables,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
  VERSION_NONE,
  type Version,
} from '../../pkg/model/index.ts';
import {
  decideConstraints,
  decideNodes,
  decideReaping,
  decideServices,
  decideVolumes,
} from '../../pkg/orchestrator/index.ts';
import { decidePlacement, decideRebalance } from '../../pkg/scheduler/index.ts';
import { mergeChanges, placedByNode } from '../../pkg/store/batch.ts';
import { DirtySet } from '../../pkg/store/dirty.ts';

/** The order in which a leader asks them. */
export const DECIDERS: readonly Decider[] = [
  decideNodes,
  decideServices,
  decideAllocation,
  decidePlacement,
  decideRebalance,
  decideConstraints,
  decideVolumes,
  decideReaping,
];

const PASSES_MAX = 200;

export class DecideCluster {
  readonly tables = new Tables();
  now = 1_000_000 as InstantMs;
  /** What of `now` is no time that passed, but a clock that was set, or another one that is ahead. */
  aheadMs = 0;
  wakeAt: InstantMs | undefined;
  /** Called with every batch that was applied. */
  onApplied: ((applied: readonly AppliedChange[]) => void) | undefined;
  /** Called with what a pass decided, once it is applied. */
  onPass: ((applied: readonly AppliedChange[]) => void) | undefined;
  /** How many of a pass's changes are written before the leader is lost; all, unless a test says otherwise. */
  written: (changes: number) => number = (changes) => changes;
  #dirty = new DirtySet();
  #ids = 0;

  constructor(options: { readonly nodes?: number; readonly cluster?: Partial<Cluster> } = {}) {
    this.apply([createObject('cluster', clusterObject(this.now, options.cluster))]);
    this.addNetwork(ingressNetworkSpec());
    for (let number = 1; number <= (options.nodes ?? 0); number++) this.addNode();
  }

  id(prefix: string): string {
    this.#ids += 1;
    return `${prefix}${String(this.#ids).padStart(6, '0')}`;
  }

  apply(changes: readonly Change[]): readonly AppliedChange[] {
    if (changes.length === 0) return [];
    const refusal = this.tables.check(changes);
    if (refusal) throw new Error(`refused: ${JSON.stringify(refusal)}`);
    const index = (this.tables.index + 1) as Version;
    const applied = this.tables.apply(changes, index, this.now);
    this.#dirty.add(applied);
    this.onApplied?.(applied);
    return applied;
  }

  /** The clock that `now` goes by is set. */
  setClock(ms: number): void {
    this.now = (this.now + ms) as InstantMs;
    this.aheadMs += ms;
    if (this.wakeAt !== undefined) this.wakeAt = (this.wakeAt + ms) as InstantMs;
  }

  /** A new leader knows nothing: everything is dirty. */
  elect(): void {
    this.#dirty = DirtySet.everything(this.tables);
  }

  /** One pass of the leader's loop; the changes it made. */
  pass(deciders: readonly Decider[] = DECIDERS): readonly Change[] {
    const draft = new DraftTables(this.tables);
    const { now } = this;
    const monotonicMs = now - this.aheadMs;
    const dirty = this.#dirty;
    this.#dirty = new DirtySet();
    this.wakeAt = undefined;
    for (const decide of deciders) {
      const newTaskId = (): TaskId => this.id('t') as TaskId;
      const decision = decide({ view: draft, dirty, now, monotonicMs, newTaskId });
      for (const change of decision.changes) {
        const refusal = draft.add(change);
        if (refusal) throw new Error(`${decide.name} does not fit: ${JSON.stringify(refusal)}`);
      }
      const { wakeAt } = decision;
      if (wakeAt !== undefined && wakeAt < (this.wakeAt ?? Number.MAX_SAFE_INTEGER)) {
        this.wakeAt = wakeAt;
      }
    }
    this.#write(placedByNode(mergeChanges(draft.changes)));
    return draft.changes;
  }

  /** A pass may be written in several entries; a leader that is lost in between leaves the rest to the next one. */
  #write(changes: readonly Change[]): void {
    const count = this.written(changes.length);
    const applied = this.apply(changes.slice(0, count));
    if (count < changes.length) this.elect();
    if (applied.length > 0) this.onPass?.(applied);
  }

  /** Passes until one decides nothing. */
  settle(): void {
    for (let count = 0; count < PASSES_MAX; count++) if (this.pass().length === 0) return;
    throw new Error(`not settled after ${PASSES_MAX} passes`);
  }

  /** Let time pass, stopping wherever a decider asked to be woken. */
  advance(ms: number): void {
    const end = (this.now + ms) as InstantMs;
    while (this.wakeAt !== undefined && this.wakeAt <= end) {
      if (this.wakeAt < this.now) throw new Error('asked to be woken in the past');
      this.now = this.wakeAt;
      this.settle();
      if (this.wakeAt !== undefined && this.wakeAt <= this.now) {
        throw new Error('asked to be woken now after settling');
      }
    }
    this.now = end;
    this.settle();
  }

  addNode(change: Partial<Node> = {}): Node {
    const id = this.id('n') as NodeId;
    const number = this.#ids;
    const node: Node = {
      id,
      version: VERSION_NONE,
      createdAt: this.now,
      updatedAt: this.now,
      spec: { Role: 'worker', Availability: 'active' },
      description: {
        hostname: id,
        os: 'linux',
        architecture: 'x86_64',
        nanoCpus: 4e9,
        memoryBytes: 8 * 2 ** 30,
        engineVersion: '28.0.0',
        engineLabels: {},
        plugins: [],
      },
      status: { state: 'ready', address: `192.168.0.${number % 250}`, since: this.now },
      certificateRole: 'worker',
      ...change,
    };
    this.apply([createObject('node', node)]);
    return node;
  }

  removeNode(id: NodeId): void {
    const node = this.tables.get('node', id);
    if (node) this.apply([removeObject('node', node)]);
  }

  setNode(id: NodeId, change: (node: Node) => Node): void {
    const node = this.tables.get('node', id);
    if (node) this.apply([updateObject('node', change(node))]);
  }

  setNodeState(id: NodeId, state: Node['status']['state']): void {
    const since = this.now;
    this.setNode(id, (node) => ({
      ...node,
      status: { ...node.status, state, since, silence: undefined },
    }));
  }

  setAvailability(id: NodeId, Availability: Node['spec']['Availability']): void {
    this.setNode(id, (node) => ({ ...node, spec: { ...node.spec, Availability } }));
  }

  addNetwork(spec: NetworkSpec): Network {
    const id = this.id('x') as NetworkId;
    const network: Network = {
      id,
      version: VERSION_NONE,
      createdAt: this.now,
      updatedAt: this.now,
      spec,
      subnets: [],
      vni: 0,
    };
    this.apply([createObject('network', network)]);
    return network;
  }

  removeNetwork(id: NetworkId): void {
    const network = this.tables.get('network', id);
    if (network) this.apply([updateObject('network', { ...network, removing: true })]);
  }

  createService(spec: ServiceSpec): ServiceId {
    const id = this.id('s') as ServiceId;
    this.apply(createService(id, spec, this.now).changes);
    return id;
  }

  service(id: ServiceId): Service {
    const service = this.tables.get('service', id);
    if (!service) throw new Error(`no service ${id}`);
    return service;
  }

  updateService(id: ServiceId, change: (spec: ServiceSpec) => ServiceSpec): void {
    const service = this.service(id);
    this.apply(applyServiceUpdate(service, change(service.spec), this.now).changes);
  }

  rollbackService(id: ServiceId): void {
    this.apply(rollbackService(this.service(id), this.now).changes);
  }

  removeService(id: ServiceId): void {
    this.apply([removeObject('service', this.service(id))]);
  }

  tasks(id: ServiceId): readonly Task[] {
    return [...this.tables.tasksOfService(id)];
  }

  runnable(id: ServiceId): readonly Task[] {
    return this.tasks(id).filter(isRunnable);
  }

  running(id: ServiceId): readonly Task[] {
    return this.runnable(id).filter((task) => task.status.state === 'running');
  }

  /** What an agent reports of a task. */
  report(id: TaskId, state: TaskState, error?: string): void {
    const task = this.tables.get('task', id);
    if (!task || compareTaskState(state, task.status.state) <= 0) return;
    const reported = { state, at: this.now, message: state, error };
    const status = reportedStatus(task, reported);
    this.apply([updateObject('task', { ...task, status })]);
  }

  /** Healthy agents bring every task as far as is wanted, deciders react, until nothing moves. */
  converge(): void {
    for (let round = 0; round < PASSES_MAX; round++) {
      this.settle();
      if (this.#agents() === 0) return;
    }
    throw new Error('agents and deciders never come to rest');
  }

  #agents(): number {
    let moves = 0;
    for (const task of [...this.tables.list('task')]) {
      const node = task.nodeId && this.tables.get('node', task.nodeId);
      if (!node || node.status.state === 'down') continue;
      const next = nextState(task);
      if (!next) continue;
      this.report(task.id, next);
      moves += 1;
    }
    return moves;
  }
}

/** What an agent with nothing in its way reports next; undefined when the task is where it should be. */
export function nextState(task: Task): TaskState | undefined {
  const { state } = task.status;
  if (compareTaskState(state, 'assigned') < 0 || compareTaskState(state, 'running') > 0) {
    return undefined;
  }
  if (task.desiredState === 'shutdown' || task.desiredState === 'remove') return 'shutdown';
  if (compareTaskState(state, 'ready') < 0) return 'ready';
  if (task.desiredState === 'ready') return undefined;
  if (state === 'running') return task.desiredState === 'complete' ? 'complete' : undefined;
  return 'running';
}

function clusterObject(now: InstantMs, change: Partial<Cluster> = {}): Cluster {
  return {
    id: 'c' as ClusterId,
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    spec: {},
    ca: { certificatePem: '', keyPem: '' },
    joinTokens: { worker: '', manager: '' },
    addressPools: ['10.0.0.0/8'],
    subnetSize: 20,
    dataPathPort: 4789,
    ...change,
  };
}

/** A spec as the CLI would send it, with `change` on top. */
export function webSpec(
  change: Partial<ServiceSpec> & { readonly replicas?: number } = {},
): ServiceSpec {
  const { replicas = 3, ...rest } = change;
  return {
    Name: 'web',
    TaskTemplate: { ContainerSpec: { Image: 'nginx:1' } },
    Mode: { Replicated: { Replicas: replicas } },
    ...rest,
  };
}

/** The same spec with another image. */
export function withImage(spec: ServiceSpec, Image: string): ServiceSpec {
  return {
    ...spec,
    TaskTemplate: {
      ...spec.TaskTemplate,
      ContainerSpec: { ...spec.TaskTemplate?.ContainerSpec, Image },
    },
  };
}

export function withReplicas(spec: ServiceSpec, Replicas: number): ServiceSpec {
  return { ...spec, Mode: { Replicated: { Replicas } } };
}
