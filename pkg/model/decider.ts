import type { Change } from './change.ts';
import type { InstantMs, NetworkId, NodeId, ServiceId, TaskId } from './id.ts';
import type { View } from './view.ts';

/** What changed since the decider last looked; everything, after an election. */
export interface Dirty {
  /** They changed, or a task of theirs did and was not merely making progress (`isProgress`). */
  readonly services: ReadonlySet<ServiceId>;
  readonly tasks: ReadonlySet<TaskId>;
  readonly nodes: ReadonlySet<NodeId>;
  readonly networks: ReadonlySet<NetworkId>;
  /** The cluster object changed. */
  readonly cluster: boolean;
}

export interface DeciderInput {
  /** The optimistic head: the store plus what earlier deciders of this pass decided. */
  readonly view: View;
  readonly dirty: Dirty;
  /** Leader's wall clock, stamped once per pass; never runs backwards across leaders. */
  readonly now: InstantMs;
  readonly newTaskId: () => TaskId;
}

export interface Decision {
  readonly changes: readonly Change[];
  /** Ask again at this instant even if nothing changes; absent: wake me on change only. */
  readonly wakeAt?: InstantMs | undefined;
}

/** Pure: same input, same answer. Remembers nothing between calls; counters and deadlines live in the objects. */
export type Decider = (input: DeciderInput) => Decision;
