import { isRunnable, type Service, type Task, type TaskId, type View } from '../model/index.ts';
import { TableBarrier, type TableBarrierOptions } from './table-barrier.ts';

/**
 * Finds out when a task that has come up can be reached from everywhere: when every living node has acknowledged tables
 * in which it is in service. A node that does not answer is waited for as long as it lives.
 */
export class EntryBarrier extends TableBarrier {
  readonly #view: View;

  constructor(options: TableBarrierOptions & { readonly view: View }) {
    super(options);
    this.#view = options.view;
  }

  /** Waits for `task` if somebody wants to know: only updates do, so that nothing is written for any other. */
  note(task: Task): void {
    const waits = isRunnable(task) && task.status.state === 'running' && !task.reachable;
    if (!waits || task.networks.length === 0 || !isUpdating(this.#view, task)) return;
    const networks = task.networks.map(({ networkId }) => networkId);
    this.hold(task.id, networks, Number.POSITIVE_INFINITY);
  }

  /** A new leader knows nothing of acknowledgements: it waits for those of the sessions that begin with it. */
  noteAll(): void {
    for (const service of this.#view.list('service')) {
      if (!updates(service)) continue;
      for (const task of this.#view.tasksOfService(service.id)) this.note(task);
    }
  }
}

function isUpdating(view: View, task: Task): boolean {
  const service = view.get('service', task.serviceId);
  return service !== undefined && updates(service);
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
