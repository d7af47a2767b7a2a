import type { NetworkId, NodeId, Task, TaskId } from '../model/index.ts';

/** One node whose kernel may still send new connections to a task. */
interface Waiting {
  /** Session that was told; another one later began with tables that do not hold the task. */
  readonly sessionId: string | undefined;
  readonly sequence: number;
}

interface Hold {
  readonly networks: readonly NetworkId[];
  /** Monotonic milliseconds. */
  readonly until: number;
  /** Filled once the tables without the task are on their way. */
  waiting: Map<NodeId, Waiting> | undefined;
}

/** A living node that takes part in a network. */
export interface Participant {
  readonly nodeId: NodeId;
  /** Absent: it has no session with this manager at present. */
  readonly session?: { readonly id: string; readonly tableSequence: number } | undefined;
}

export interface DrainBarrierOptions {
  readonly maxMs: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Living nodes that hold the tables of any of the networks. */
  readonly participants: (networks: readonly NetworkId[]) => readonly Participant[];
}

/**
 * Holds the stop of a task back until every living node has acknowledged tables in which it takes no new connections,
 * for at most `maxMs`. Promise S7; docs/design/dispatcher.md draws it.
 */
export class DrainBarrier {
  readonly #options: DrainBarrierOptions;
  readonly #holds = new Map<TaskId, Hold>();
  readonly #open = new Set<TaskId>();

  constructor(options: DrainBarrierOptions) {
    this.#options = options;
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
      this.#holds.delete(task.id);
      this.#open.add(task.id);
      return false;
    }
    if (!this.#holds.has(task.id)) {
      this.#holds.set(task.id, {
        networks: task.networks.map(({ networkId }) => networkId),
        until: this.#options.now() + this.#options.maxMs,
        waiting: undefined,
      });
    }
    return true;
  }

  /** Call after tables were sent: new holds wait for what was sent by now. */
  sent(): void {
    for (const hold of this.#holds.values()) {
      if (hold.waiting) continue;
      hold.waiting = new Map(
        this.#options
          .participants(hold.networks)
          .map(({ nodeId, session }): [NodeId, Waiting] => [
            nodeId,
            { sessionId: session?.id, sequence: session?.tableSequence ?? 0 },
          ]),
      );
    }
  }

  /** The kernel of the node holds everything up to `sequence` of its session. */
  acknowledged(nodeId: NodeId, sessionId: string, sequence: number): void {
    for (const { waiting } of this.#holds.values()) {
      const wait = waiting?.get(nodeId);
      if (!wait) continue;
      // A session that began later began with tables without the task.
      const needed = wait.sessionId === sessionId ? wait.sequence : 1;
      if (sequence >= needed) waiting?.delete(nodeId);
    }
  }

  /** The node is down or was removed: nobody waits for it. */
  lost(nodeId: NodeId): void {
    for (const { waiting } of this.#holds.values()) waiting?.delete(nodeId);
  }

  /** Opens what need not wait any longer; returns those tasks, to be told to stop. */
  release(): readonly TaskId[] {
    const released: TaskId[] = [];
    const now = this.#options.now();
    for (const [taskId, { waiting, until }] of this.#holds) {
      if (now < until && waiting?.size !== 0) continue;
      this.#holds.delete(taskId);
      this.#open.add(taskId);
      released.push(taskId);
    }
    return released;
  }

  /** Monotonic milliseconds at which the first hold ends by itself. */
  get nextDeadline(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#holds.values()) {
      if (first === undefined || until < first) first = until;
    }
    return first;
  }

  forget(taskId: TaskId): void {
    this.#holds.delete(taskId);
    this.#open.delete(taskId);
  }

  clear(): void {
    this.#holds.clear();
    this.#open.clear();
  }
}
