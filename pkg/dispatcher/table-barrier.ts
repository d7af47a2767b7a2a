import type { NetworkId, NodeId, TaskId } from '../model/index.ts';

/** One node whose kernel may not hold the tables yet. */
interface Waiting {
  /** Session that was told; another one later began with tables that are as new. */
  readonly sessionId: string | undefined;
  readonly sequence: number;
}

interface Hold {
  readonly networks: readonly NetworkId[];
  /** Monotonic milliseconds; Infinity: as long as the nodes live. */
  readonly until: number;
  /** Filled once the tables are on their way. */
  waiting: Map<NodeId, Waiting> | undefined;
}

/** A living node that takes part in a network. */
export interface Participant {
  readonly nodeId: NodeId;
  /** Absent: it has no session with this manager at present. */
  readonly session?: { readonly id: string; readonly tableSequence: number } | undefined;
}

export interface TableBarrierOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Living nodes that hold the tables of any of the networks. */
  readonly participants: (networks: readonly NetworkId[]) => readonly Participant[];
  /** A hold ended because its time was up: these nodes had not acknowledged. */
  readonly onOverdue?: ((taskId: TaskId, nodes: readonly NodeId[]) => void) | undefined;
}

/** Holds something about a task back until every living node has acknowledged the tables that are sent next. */
export class TableBarrier {
  readonly #options: TableBarrierOptions;
  readonly #holds = new Map<TaskId, Hold>();

  constructor(options: TableBarrierOptions) {
    this.#options = options;
  }

  holds(taskId: TaskId): boolean {
    return this.#holds.has(taskId);
  }

  /** The tables that say what is new about the task are sent next; no change when it is held already. */
  hold(taskId: TaskId, networks: readonly NetworkId[], maxMs: number): void {
    if (this.#holds.has(taskId)) return;
    const until = this.#options.now() + maxMs;
    this.#holds.set(taskId, { networks, until, waiting: undefined });
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
      // A session that began later began with tables that are as new.
      const needed = wait.sessionId === sessionId ? wait.sequence : 1;
      if (sequence >= needed) waiting?.delete(nodeId);
    }
  }

  /** The node is down or was removed: nobody waits for it. */
  lost(nodeId: NodeId): void {
    for (const { waiting } of this.#holds.values()) waiting?.delete(nodeId);
  }

  /** Ends and returns the holds that nobody is waited for, or whose time is up. */
  release(): readonly TaskId[] {
    const now = this.#options.now();
    const released: TaskId[] = [];
    for (const [taskId, { waiting, until }] of this.#holds) {
      const isFree = waiting?.size === 0;
      if (!isFree && now < until) continue;
      released.push(taskId);
      if (!isFree) this.#options.onOverdue?.(taskId, [...(waiting?.keys() ?? [])]);
    }
    for (const taskId of released) this.#holds.delete(taskId);
    return released;
  }

  /** Monotonic milliseconds at which the first hold ends by itself. */
  get nextDeadline(): number | undefined {
    let first: number | undefined;
    for (const { until } of this.#holds.values()) {
      if (until !== Infinity && (first === undefined || until < first)) first = until;
    }
    return first;
  }

  forget(taskId: TaskId): void {
    this.#holds.delete(taskId);
  }

  clear(): void {
    this.#holds.clear();
  }
}
