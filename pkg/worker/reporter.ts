import type { Clock, Timer } from '../io/index.ts';
import { compareTaskState, isTerminal, type TaskId, type TaskStatus } from '../model/index.ts';
import type { AgentSession } from '../rpc/index.ts';

const ON_THE_WAY_MS = 100;

export interface ReporterOptions {
  readonly clock: Clock;
  /** Status of every task of the node, to begin a session with. */
  readonly all: () => Iterable<readonly [TaskId, TaskStatus]>;
  /** Makes durable how tasks are. */
  readonly keep: () => void;
}

/**
 * Tells the leader how tasks go: the newest status of each, again and again until it is committed. That a task has ended
 * is kept here first: the leader replaces it at once, and an agent that did not know would start it again.
 */
export class Reporter {
  readonly #unsaid = new Map<TaskId, TaskStatus>();
  readonly #options: ReporterOptions;
  #session: AgentSession | undefined;
  #number = 0;
  #timer: Timer | undefined;
  #due = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** A session began: whatever an earlier one was told may be lost. */
  attach(session: AgentSession): void {
    this.#session = session;
    this.#number = 0;
    for (const [taskId, status] of this.#options.all()) this.#unsaid.set(taskId, status);
    this.#flush();
  }

  detach(): void {
    this.#session = undefined;
  }

  /** States on the way wait a little for the next one: a quick start is one write in the store instead of five. */
  report(taskId: TaskId, status: TaskStatus): void {
    this.#unsaid.set(taskId, status);
    if (compareTaskState(status.state, 'running') >= 0) {
      this.#flushIn(0);
    } else {
      this.#flushIn(ON_THE_WAY_MS);
    }
  }

  #flushIn(delayMs: number): void {
    const due = this.#options.clock.monotonicMs() + delayMs;
    if (this.#timer && this.#due <= due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#flush();
    });
  }

  forget(taskId: TaskId): void {
    this.#unsaid.delete(taskId);
  }

  #flush(): void {
    if (!this.#session || this.#unsaid.size === 0) return;
    const statuses = [...this.#unsaid].map(([taskId, status]) => ({ taskId, status }));
    this.#unsaid.clear();
    if (statuses.some(({ status }) => isTerminal(status.state))) this.#options.keep();
    this.#number += 1;
    this.#session.send({ kind: 'report', number: this.#number, statuses });
  }
}
