import type { TaskId, TaskStatus } from '../model/index.ts';
import type { AgentSession } from '../rpc/index.ts';

/** Tells the leader how tasks go: the newest status of each, again and again until it is committed. */
export class Reporter {
  readonly #unsaid = new Map<TaskId, TaskStatus>();
  readonly #unanswered = new Map<number, readonly TaskId[]>();
  readonly #all: () => Iterable<readonly [TaskId, TaskStatus]>;
  #session: AgentSession | undefined;
  #number = 0;
  #scheduled = false;

  /** `all`: status of every task of the node, to begin a session with. */
  constructor(all: () => Iterable<readonly [TaskId, TaskStatus]>) {
    this.#all = all;
  }

  /** A session began: whatever an earlier one was told may be lost. */
  attach(session: AgentSession): void {
    this.#session = session;
    this.#number = 0;
    this.#unanswered.clear();
    for (const [taskId, status] of this.#all()) this.#unsaid.set(taskId, status);
    this.#flush();
  }

  detach(): void {
    this.#session = undefined;
  }

  report(taskId: TaskId, status: TaskStatus): void {
    this.#unsaid.set(taskId, status);
    if (this.#scheduled) return;
    // States passed through in one turn of the event loop travel as the last of them.
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Reports up to `number` are committed. */
  reported(number: number): void {
    for (const known of [...this.#unanswered.keys()]) {
      if (known <= number) this.#unanswered.delete(known);
    }
  }

  forget(taskId: TaskId): void {
    this.#unsaid.delete(taskId);
  }

  /** Nothing is waiting to be said or to be committed. */
  get isSettled(): boolean {
    return this.#unsaid.size === 0 && this.#unanswered.size === 0;
  }

  #flush(): void {
    if (!this.#session || this.#unsaid.size === 0) return;
    const statuses = [...this.#unsaid].map(([taskId, status]) => ({ taskId, status }));
    this.#unsaid.clear();
    this.#number += 1;
    this.#unanswered.set(
      this.#number,
      statuses.map(({ taskId }) => taskId),
    );
    this.#session.send({ kind: 'report', number: this.#number, statuses });
  }
}
