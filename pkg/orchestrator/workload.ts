import {
  type Change,
  createObject,
  type InstantMs,
  type Node,
  newServiceRevision,
  nodeSatisfies,
  onlyConstraintsChanged,
  type Service,
  type ServiceSpec,
  serviceMode,
  type Task,
  type TaskId,
  taskSpecChanged,
  updateObject,
  type View,
} from '../model/index.ts';

/** The number of a replicated service's slot, the node id of a global service's. */
export type SlotKey = string;

/** How the tasks of two specs differ. */
type Difference = 'none' | 'constraints' | 'other';

const TASKS_PER_STEP = 500;

/**
 * One service with its tasks while a pass decides about it: what was decided so far is seen by the next step, and
 * every touched object becomes one change at the end.
 */
export class Workload {
  readonly view: View;
  readonly now: InstantMs;
  readonly #slots = new Map<SlotKey, Task[]>();
  readonly #leaving = new Map<SlotKey, Task[]>();
  /** As they are to be. */
  readonly #touched = new Map<TaskId, Task>();
  readonly #made = new Set<TaskId>();
  readonly #changed = new Map<number, Difference>();
  readonly #before: Service;
  readonly #perNode: boolean;
  #service: Service;
  #wakeAt: InstantMs | undefined;

  /** @param tasks of the service; more may be taken in before anything is asked */
  constructor(
    view: View,
    now: InstantMs,
    service: Service,
    tasks: Iterable<Task> = view.tasksOfService(service.id),
  ) {
    this.view = view;
    this.now = now;
    this.#before = service;
    this.#service = service;
    const { kind } = serviceMode(service.spec);
    this.#perNode = kind === 'global' || kind === 'global-job';
    for (const task of tasks) this.#take(task);
    this.#sort();
  }

  /** The same with pauses. */
  static *inSteps(
    view: View,
    now: InstantMs,
    service: Service,
    tasks: Iterable<Task> = view.tasksOfService(service.id),
  ): Generator<void, Workload> {
    const work = new Workload(view, now, service, []);
    let seen = 0;
    for (const task of tasks) {
      if (++seen % TASKS_PER_STEP === 0) yield;
      work.#take(task);
    }
    work.#sort();
    return work;
  }

  get service(): Service {
    return this.#service;
  }

  get spec(): ServiceSpec {
    return this.#service.spec;
  }

  get wakeAt(): InstantMs | undefined {
    return this.#wakeAt;
  }

  /** Something was decided about tasks in this pass. */
  get isTouched(): boolean {
    return this.#touched.size > 0;
  }

  /** Keys of the slots that have tasks not on their way out. */
  get slots(): readonly SlotKey[] {
    return [...this.#slots.keys()];
  }

  /** The slot's tasks, oldest first. */
  tasks(slot: SlotKey): readonly Task[] {
    return this.#slots.get(slot) ?? [];
  }

  /** Tasks of the slot that are to be removed. */
  leaving(slot: SlotKey): readonly Task[] {
    return this.#leaving.get(slot) ?? [];
  }

  all(): readonly Task[] {
    return [...this.#slots.values()].flat();
  }

  /** Add a task that was just made. */
  add(task: Task): void {
    this.#touched.set(task.id, task);
    this.#made.add(task.id);
    this.#tasksOfSlot(task).push(task);
  }

  /** Change a task; tasks that are to be removed leave their slot. */
  set(task: Task, change: Partial<Task>): void {
    const next: Task = { ...task, ...change };
    const tasks = this.#tasksOfSlot(task);
    const at = tasks.findIndex((other) => other.id === task.id);
    this.#touched.set(task.id, next);
    if (next.desiredState === 'remove') {
      tasks.splice(at, 1);
      if (tasks.length === 0) this.#slots.delete(this.slotOf(task));
      this.#leave(next);
    } else tasks.splice(at, 1, next);
  }

  setService(change: Partial<Service>): void {
    if (change.spec && change.spec !== this.#service.spec) this.#changed.clear();
    this.#service = { ...this.#service, ...change };
  }

  /** Ask to be called again at `instant` at the latest. */
  wake(instant: InstantMs): void {
    if (this.#wakeAt === undefined || instant < this.#wakeAt) this.#wakeAt = instant;
  }

  /** The spec the task was made from. */
  specOf(task: Task): ServiceSpec {
    if (task.specVersion === this.#service.specVersion) return this.#service.spec;
    return this.view.revision(task.serviceId, task.specVersion)?.spec ?? this.#service.spec;
  }

  /** Must the task be replaced to match the present spec? */
  isDirty(task: Task): boolean {
    const { specVersion, spec } = this.#service;
    if (task.specVersion === specVersion) return false;
    const known = this.#changed.get(task.specVersion) ?? difference(this.specOf(task), spec);
    this.#changed.set(task.specVersion, known);
    if (known !== 'constraints') return known === 'other';
    const node = this.nodeOf(task);
    return !node || !nodeSatisfies(node, spec.TaskTemplate?.Placement?.Constraints ?? []);
  }

  /** Numbered for replicated services; one slot per node for global ones. */
  slotOf(task: Task): SlotKey {
    return this.#perNode ? (task.nodeId ?? '') : String(task.slot);
  }

  nodeOf(task: Task): Node | undefined {
    return task.nodeId === undefined ? undefined : this.view.get('node', task.nodeId);
  }

  /** Everything decided, one change per object. */
  *changes(): Iterable<Change> {
    if (this.#service !== this.#before) yield updateObject('service', this.#service);
    // Also when it was lost: a pass may be written in several pieces, and not all of them.
    if (!this.view.revision(this.#service.id, this.#service.specVersion)) {
      yield newServiceRevision(this.#service, this.now);
    }
    for (const [id, task] of this.#touched) {
      yield this.#made.has(id) ? createObject('task', task) : updateObject('task', task);
    }
  }

  #take(task: Task): void {
    if (task.desiredState === 'remove') this.#leave(task);
    else this.#tasksOfSlot(task).push(task);
  }

  #sort(): void {
    for (const tasks of this.#slots.values()) if (tasks.length > 1) tasks.sort(byCreation);
  }

  #leave(task: Task): void {
    const slot = this.slotOf(task);
    this.#leaving.set(slot, [...this.leaving(slot), task]);
  }

  #tasksOfSlot(task: Task): Task[] {
    const key = this.slotOf(task);
    const known = this.#slots.get(key);
    if (known) return known;
    const tasks: Task[] = [];
    this.#slots.set(key, tasks);
    return tasks;
  }
}

function difference(before: ServiceSpec, after: ServiceSpec): Difference {
  if (!taskSpecChanged(before, after)) return 'none';
  return onlyConstraintsChanged(before, after) ? 'constraints' : 'other';
}

function byCreation(left: Task, right: Task): number {
  return left.createdAt - right.createdAt;
}
