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

/** What the tasks of a node take of it. */
interface Taken {
  /** Wanted tasks, all services. */
  tasks: number;
  byService: Map<ServiceId, number>;
  nanoCpus: number;
  memoryBytes: number;
  /** Named and counted resources that tasks hold. */
  generic: GenericResource[];
  /** Host-mode ports taken, `tcp/8080`. */
  hostPorts: Set<string>;
  /** Images that tasks of this node were made from: they are most likely there. */
  images: Set<string>;
}

/** What runs or will run on one node, as far as this pass knows. */
export interface NodeLoad extends Taken {
  readonly node: Node;
  /** Recent failures by service version. */
  readonly failures: ReadonlyMap<RevisionId, number>;
  /** Recent failures by service. */
  readonly failuresOfService: ReadonlyMap<ServiceId, number>;
  /** Lists and maps are those of `SUMS`: copied before the first change. */
  shared: boolean;
}

type Failures = Pick<NodeLoad, 'failures' | 'failuresOfService'>;

const NO_FAILURES: Failures = {
  failures: new Map(),
  failuresOfService: new Map(),
};

/** A node's tasks added up. */
interface Sums {
  readonly taken: Taken;
  readonly failed: readonly Task[];
}

/** Kept for as long as no task of the node changes: most nodes' have not since the pass before. */
const SUMS = new WeakMap<object, Sums>();

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
  const without = except === undefined ? undefined : view.get('task', except)?.nodeId;
  let seen = 0;
  for (const node of view.list('node')) {
    const stamp = node.id === without ? undefined : view.stampOfNode(node.id);
    const known = stamp && SUMS.get(stamp);
    const sums = known ?? addUp(view.tasksOfNode(node.id), demandOfTask, except);
    if (stamp && !known) SUMS.set(stamp, sums);
    loads.set(node.id, loadOf(node, sums, now));
    seen += known ? 1 : sums.taken.tasks + 1;
    if (seen < TASKS_PER_STEP) continue;
    seen = 0;
    yield;
  }
  return loads;
}

function addUp(
  tasks: Iterable<Task>,
  demandOfTask: (task: Task) => Demand | undefined,
  except: TaskId | undefined,
): Sums {
  const taken = nothingTaken();
  const failed: Task[] = [];
  for (const task of tasks) {
    const { state } = task.status;
    if (task.id === except) continue;
    if (state === 'failed' || state === 'rejected') failed.push(task);
    else if (!isTerminal(state) && compareTaskState(state, 'assigned') >= 0) {
      take(taken, task, demandOfTask(task));
    }
  }
  return { taken, failed };
}

/** A class, because a pass makes one for every node: copying objects field by field unseen takes ten times as long. */
class Load implements NodeLoad {
  readonly node: Node;
  tasks: number;
  byService: Map<ServiceId, number>;
  nanoCpus: number;
  memoryBytes: number;
  generic: GenericResource[];
  hostPorts: Set<string>;
  images: Set<string>;
  readonly failures: ReadonlyMap<RevisionId, number>;
  readonly failuresOfService: ReadonlyMap<ServiceId, number>;
  shared: boolean;

  constructor(node: Node, taken: Taken, failures: Failures, shared: boolean) {
    this.node = node;
    this.tasks = taken.tasks;
    this.byService = taken.byService;
    this.nanoCpus = taken.nanoCpus;
    this.memoryBytes = taken.memoryBytes;
    this.generic = taken.generic;
    this.hostPorts = taken.hostPorts;
    this.images = taken.images;
    this.failures = failures.failures;
    this.failuresOfService = failures.failuresOfService;
    this.shared = shared;
  }
}

function loadOf(node: Node, { taken, failed }: Sums, now: InstantMs): NodeLoad {
  return new Load(node, taken, failed.length === 0 ? NO_FAILURES : recent(failed, now), true);
}

function recent(failed: readonly Task[], now: InstantMs): Failures {
  const failures = new Map<RevisionId, number>();
  const failuresOfService = new Map<ServiceId, number>();
  for (const { serviceId, specVersion, status } of failed) {
    if (status.at < now - FAILURE_WINDOW_MS) continue;
    count(failures, revisionId(serviceId, specVersion));
    count(failuresOfService, serviceId);
  }
  return { failures, failuresOfService };
}

/** Count a task that is, or was just, placed on the node. */
export function addTask(load: NodeLoad, task: Task, demand: Demand | undefined): void {
  own(load);
  take(load, task, demand);
}

/** It goes when its successor runs: it holds its room until then, but is no reason for others to go elsewhere. */
export function discountTask(load: NodeLoad, { serviceId }: Task): void {
  own(load);
  load.tasks -= 1;
  load.byService.set(serviceId, (load.byService.get(serviceId) ?? 0) - 1);
}

function own(load: NodeLoad): void {
  if (!load.shared) return;
  load.byService = new Map(load.byService);
  load.generic = [...load.generic];
  load.hostPorts = new Set(load.hostPorts);
  load.images = new Set(load.images);
  load.shared = false;
}

function take(taken: Taken, task: Task, demand: Demand | undefined): void {
  if (demand) {
    taken.nanoCpus += demand.nanoCpus;
    taken.memoryBytes += demand.memoryBytes;
    for (const port of demand.hostPorts) taken.hostPorts.add(port);
    taken.images.add(demand.image);
  }
  if (task.genericResources) taken.generic.push(...task.genericResources);
  // What leaves the node still holds its room, but is no reason for others to go elsewhere.
  if (task.desiredState === 'shutdown' || task.desiredState === 'remove' || task.move) return;
  taken.tasks += 1;
  count(taken.byService, task.serviceId);
}

export function hostPortsOf(spec: ServiceSpec): readonly string[] {
  return portsAsked(spec)
    .filter((port) => port.publishMode === 'host' && port.publishedPort > 0)
    .map((port) => `${port.protocol}/${port.publishedPort}`);
}

/** Did this version of the service fail here so often lately that any other node is better? */
export function isFaulty(load: NodeLoad, version: RevisionId): boolean {
  return load.failures.size > 0 && (load.failures.get(version) ?? 0) >= FAILURES_MAX;
}

/** A node without tasks. */
export function emptyLoad(node: Node): NodeLoad {
  return new Load(node, nothingTaken(), NO_FAILURES, false);
}

function nothingTaken(): Taken {
  return {
    tasks: 0,
    byService: new Map(),
    nanoCpus: 0,
    memoryBytes: 0,
    generic: [],
    hostPorts: new Set(),
    images: new Set(),
  };
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
