import type { Clock, Timer } from '../io/index.ts';
import { compareTaskState, type TaskId, type TaskStatus } from '../model/index.ts';
import type { AgentSession } from '../rpc/index.ts';

const ON_THE_WAY_MS = 100;

/** Tells the leader how tasks go: the newest status of each, again and again until it is committed. */
export class Reporter {
  readonly #unsaid = new Map<TaskId, TaskStatus>();
  readonly #all: () => Iterable<readonly [TaskId, TaskStatus]>;
  #session: AgentSession | undefined;
  readonly #clock: Clock;
  #number = 0;
  #timer: Timer | undefined;
  #due = 0;

  /** `all`: status of every task of the node, to begin a session with. */
  constructor(clock: Clock, all: () => Iterable<readonly [TaskId, TaskStatus]>) {
    this.#clock = clock;
    this.#all = all;
  }

  /** A session began: whatever an earlier one was told may be lost. */
  attach(session: AgentSession): void {
    this.#session = session;
    this.#number = 0;
    for (const [taskId, status] of this.#all()) this.#unsaid.set(taskId, status);
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
    const due = this.#clock.monotonicMs() + delayMs;
    if (this.#timer && this.#due <= due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer = this.#clock.after(delayMs, () => {
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
    this.#number += 1;
    this.#session.send({ kind: 'report', number: this.#number, statuses });
  }
}
