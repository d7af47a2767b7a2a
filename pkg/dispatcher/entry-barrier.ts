import {
  type AppliedChange,
  isDraining,
  isRunnable,
  type NodeId,
  type Service,
  slotOf,
  type Task,
  type TaskId,
  type View,
} from '../model/index.ts';
import { TableBarrier, type TableBarrierOptions } from './table-barrier.ts';

/**
 * Finds out when a task that has come up can be reached from everywhere: when every living node has acknowledged tables
 * in which it is in service. A node that does not answer is waited for as long as it lives.
 */
export class EntryBarrier extends TableBarrier {
  readonly #view: View;
  /** Nodes that are being emptied. */
  readonly #draining = new Set<NodeId>();

  constructor(options: TableBarrierOptions & { readonly view: View }) {
    super(options);
    this.#view = options.view;
  }

  /** Waits for `task` if an update, a drain or a move does; nothing is written for any other. */
  note(task: Task): void {
    const waits = isRunnable(task) && task.status.state === 'running' && !task.reachable;
    if (!waits || task.networks.length === 0 || !this.#isAwaited(task)) return;
    const networks = task.networks.map(({ networkId }) => networkId);
    this.hold(task.id, networks, Number.POSITIVE_INFINITY);
  }

  noteNode({ before, after }: Extract<AppliedChange, { kind: 'node' }>): void {
    if (after && isDraining(after)) this.#draining.add(after.id);
    else if (before) this.#draining.delete(before.id);
  }

  /** A new leader knows nothing of acknowledgements: it waits for those of the sessions that begin with it. */
  noteAll(): void {
    const nodes = [...this.#view.list('node')].filter(isDraining).map(({ id }) => id);
    this.#draining.clear();
    for (const id of nodes) this.#draining.add(id);
    const drained = nodes.flatMap((id) => [...this.#view.tasksOfNode(id)]);
    const updated = [...this.#view.list('service')]
      .filter((service) => updates(service) || this.#view.hasSharedSlot(service.id))
      .map(({ id }) => id);
    for (const id of new Set([...updated, ...drained.map(({ serviceId }) => serviceId)])) {
      for (const task of this.#view.tasksOfService(id)) this.note(task);
    }
  }

  #isAwaited(task: Task): boolean {
    const service = this.#view.get('service', task.serviceId);
    return (
      service !== undefined &&
      (updates(service) || this.#replacesMoved(task) || this.#replacesDrained(task))
    );
  }

  #replacesMoved(task: Task): boolean {
    if (!this.#view.hasSharedSlot(task.serviceId)) return false;
    const slot = [...this.#view.tasksOfSlot(task.serviceId, slotOf(task))];
    return slot.some((other) => other.move !== undefined && isRunnable(other));
  }

  #replacesDrained({ id, serviceId, slot }: Task): boolean {
    for (const nodeId of this.#draining) {
      for (const other of this.#view.tasksOfNode(nodeId)) {
        const sameSlot = other.serviceId === serviceId && other.slot === slot;
        if (sameSlot && other.id !== id && isRunnable(other)) return true;
      }
    }
    return false;
  }
}

function updates({ updateStatus }: Service): boolean {
  return updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started';
}

/** The change that says so; nothing for a task that is over meanwhile. */
export function reachable(view: View, taskId: TaskId): Task | undefined {
  const task = view.get('task', taskId);
  if (!task || !isRunnable(task) || task.reachable) return undefined;
  return { ...task, reachable: true };
}
