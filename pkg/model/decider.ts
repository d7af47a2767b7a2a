import type { Change } from './change.ts';
import type { InstantMs, NetworkId, NodeId, ServiceId, TaskId, VolumeId } from './id.ts';
import type { Slot } from './slot-tasks.ts';
import type { View } from './view.ts';

/** What changed since the decider last looked; everything, after an election. */
export interface Dirty {
  /** They changed, or a task of theirs did and was not merely making progress (`isProgress`). */
  readonly services: ReadonlySet<ServiceId>;
  /** Where only tasks of a service changed, their slots; absent for all others: every slot may be concerned. */
  readonly slots: ReadonlyMap<ServiceId, ReadonlySet<Slot>>;
  readonly tasks: ReadonlySet<TaskId>;
  readonly nodes: ReadonlySet<NodeId>;
  readonly networks: ReadonlySet<NetworkId>;
  /** Cluster volumes that changed, or of which a task began or ceased to be one that holds it. */
  readonly volumes: ReadonlySet<VolumeId>;
  /** The cluster object changed, or another manager began to lead. */
  readonly cluster: boolean;
}

export interface DeciderInput {
  /** The optimistic head: the store plus what earlier deciders of this pass decided. */
  readonly view: View;
  readonly dirty: Dirty;
  /** Leader's wall clock, stamped once per pass; never runs backwards across leaders. */
  readonly now: InstantMs;
  /** Leader's monotonic clock. Says how much time passed since the same leader noted it; `now` may jump. */
  readonly monotonicMs: number;
  readonly newTaskId: () => TaskId;
}

export interface Decision {
  readonly changes: readonly Change[];
  /** Ask again at this instant even if nothing changes; absent: wake me on change only. */
  readonly wakeAt?: InstantMs | undefined;
}

/** Pure: same input, same answer. Remembers nothing between calls; counters and deadlines live in the objects. */
export interface Decider {
  (input: DeciderInput): Decision;
  /**
   * The same, step by step, so that a decision about everything holds up nothing else. The view may have moved on at
   * each pause; as with any decision, what no longer fits then is refused. Absent where it is always short.
   */
  readonly steps?: DecisionSteps | undefined;
}

export type DecisionSteps = (input: DeciderInput) => Generator<void, Decision>;

/** A decider that pauses wherever `steps` yields: about every half millisecond of work. */
export function inSteps(steps: DecisionSteps): Decider {
  const atOnce = (input: DeciderInput): Decision => {
    const work = steps(input);
    for (;;) {
      const { done, value } = work.next();
      if (done) return value;
    }
  };
  Object.defineProperty(atOnce, 'name', { value: steps.name });
  return Object.assign(atOnce, { steps });
}
