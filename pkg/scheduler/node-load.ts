import {
  compareTaskState,
  type GenericResource,
  genericReservations,
  type InstantMs,
  isTerminal,
  type Node,
  type NodeId,
  portsAsked,
  type RevisionId,
  revisionId,
  type ServiceId,
  type ServiceSpec,
  type Task,
  type TaskId,
  type View,
} from '../model/index.ts';

/** This many failures of one service version within the window make a node the last choice (SwarmKit's figures). */
const FAILURES_MAX = 5;
const FAILURE_WINDOW_MS = 5 * 60_000;
const TASKS_PER_STEP = 500;

/** What runs or will run on one node, as far as this pass knows. */
export interface NodeLoad {
  readonly node: Node;
  /** Wanted tasks, all services. */
  tasks: number;
  readonly byService: Map<ServiceId, number>;
  nanoCpus: number;
  memoryBytes: number;
  /** Named and counted resources that tasks hold. */
  readonly generic: GenericResource[];
  /** Host-mode ports taken, `tcp/8080`. */
  readonly hostPorts: Set<string>;
  /** Images that tasks of this node were made from: they are most likely there. */
  readonly images: Set<string>;
  /** Recent failures by service version. */
  readonly failures: Map<RevisionId, number>;
  /** Recent failures by service. */
  readonly failuresOfService: Map<ServiceId, number>;
}

/** What one task of a spec takes from its node. */
export interface Demand {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly generic: readonly GenericResource[];
  readonly hostPorts: readonly string[];
  readonly image: string;
}

export function demandOf(spec: ServiceSpec): Demand {
  const reserved = spec.TaskTemplate?.Resources?.Reservations;
  return {
    nanoCpus: reserved?.NanoCPUs ?? 0,
    memoryBytes: reserved?.MemoryBytes ?? 0,
    generic: genericReservations(spec),
    hostPorts: hostPortsOf(spec),
    image: spec.TaskTemplate?.ContainerSpec?.Image ?? '',
  };
}

/** The load of every node, from the tasks: reservations and ports are held until a task is over. `except` counts nowhere. */
export function measureLoad(
  view: View,
  demandOfTask: (task: Task) => Demand | undefined,
  now: InstantMs,
  except?: TaskId | undefined,
): ReadonlyMap<NodeId, NodeLoad> {
  const steps = measureLoadInSteps(view, demandOfTask, now, except);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same with pauses. */
export function* measureLoadInSteps(
  view: View,
  demandOfTask: (task: Task) => Demand | undefined,
  now: InstantMs,
  except?: TaskId | undefined,
): Generator<void, ReadonlyMap<NodeId, NodeLoad>> {
  const loads = new Map<NodeId, NodeLoad>();
  for (const node of view.list('node')) loads.set(node.id, emptyLoad(node));
  let seen = 0;
  for (const task of view.list('task')) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    const load = task.nodeId === undefined ? undefined : loads.get(task.nodeId);
    if (!load || task.id === except) continue;
    if (isTerminal(task.status.state)) noteFailure(load, task, now);
    else if (compareTaskState(task.status.state, 'assigned') >= 0) {
      addTask(load, task, demandOfTask(task));
    }
  }
  return loads;
}

/** Count a task that is, or was just, placed on the node. */
export function addTask(load: NodeLoad, task: Task, demand: Demand | undefined): void {
  if (demand) {
    load.nanoCpus += demand.nanoCpus;
    load.memoryBytes += demand.memoryBytes;
    for (const port of demand.hostPorts) load.hostPorts.add(port);
    load.images.add(demand.image);
  }
  if (task.genericResources) load.generic.push(...task.genericResources);
  if (task.desiredState === 'shutdown' || task.desiredState === 'remove') return;
  load.tasks += 1;
  load.byService.set(task.serviceId, (load.byService.get(task.serviceId) ?? 0) + 1);
}

export function hostPortsOf(spec: ServiceSpec): readonly string[] {
  return portsAsked(spec)
    .filter((port) => port.publishMode === 'host' && port.publishedPort > 0)
    .map((port) => `${port.protocol}/${port.publishedPort}`);
}

/** Did this version of the service fail here so often lately that any other node is better? */
export function isFaulty(load: NodeLoad, version: RevisionId): boolean {
  return (load.failures.get(version) ?? 0) >= FAILURES_MAX;
}

/** A node without tasks. */
export function emptyLoad(node: Node): NodeLoad {
  return {
    node,
    tasks: 0,
    byService: new Map(),
    nanoCpus: 0,
    memoryBytes: 0,
    generic: [],
    hostPorts: new Set(),
    images: new Set(),
    failures: new Map(),
    failuresOfService: new Map(),
  };
}

function noteFailure(load: NodeLoad, task: Task, now: InstantMs): void {
  const failed = task.status.state === 'failed' || task.status.state === 'rejected';
  if (!failed || task.status.at < now - FAILURE_WINDOW_MS) return;
  count(load.failures, revisionId(task.serviceId, task.specVersion));
  count(load.failuresOfService, task.serviceId);
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
