import type { Task, TaskId } from '../model/index.ts';
import { TableBarrier, type TableBarrierOptions } from './table-barrier.ts';

/**
 * Holds the stop of a task back until every living node has acknowledged tables in which it takes no new connections,
 * for at most `maxMs`. Promise S7; docs/design/dispatcher.md draws it.
 */
export class DrainBarrier {
  readonly #maxMs: number;
  readonly #barrier: TableBarrier;
  readonly #open = new Set<TaskId>();

  constructor(options: TableBarrierOptions & { readonly maxMs: number }) {
    this.#maxMs = options.maxMs;
    this.#barrier = new TableBarrier(options);
  }

  /** Whether `task` must not be told to stop yet. The first call for a stopping task begins the hold. */
  isHeld(task: Task): boolean {
    const stopping = task.desiredState === 'shutdown' || task.desiredState === 'remove';
    if (!stopping) {
      this.forget(task.id);
      return false;
    }
    if (this.#open.has(task.id)) return false;
    if (task.status.state !== 'running' || task.networks.length === 0) {
      // Its agent is told to stop it: a report that it runs, written before that, must not take this back.
      this.#barrier.forget(task.id);
      this.#open.add(task.id);
      return false;
    }
    const networks = task.networks.map(({ networkId }) => networkId);
    this.#barrier.hold(task.id, networks, this.#maxMs);
    return true;
  }

  sent(): void {
    this.#barrier.sent();
  }

  acknowledged(...acknowledgement: Parameters<TableBarrier['acknowledged']>): void {
    this.#barrier.acknowledged(...acknowledgement);
  }

  lost(...node: Parameters<TableBarrier['lost']>): void {
    this.#barrier.lost(...node);
  }

  /** Opens what need not wait any longer; returns those tasks, to be told to stop. */
  release(): readonly TaskId[] {
    const released = this.#barrier.release();
    for (const taskId of released) this.#open.add(taskId);
    return released;
  }

  get nextDeadline(): number | undefined {
    return this.#barrier.nextDeadline;
  }

  forget(taskId: TaskId): void {
    this.#barrier.forget(taskId);
    this.#open.delete(taskId);
  }

  clear(): void {
    this.#barrier.clear();
    this.#open.clear();
  }
}
