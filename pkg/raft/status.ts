import type { ConfState, Index, NodeId } from './message.ts';
import type { ProgressView, RaftState } from './ready.ts';

/** A copy of the node's state, for operators and tests. */
export interface Status {
  readonly id: NodeId;
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: Index;
  readonly applied: Index;
  readonly lead: NodeId;
  readonly raftState: RaftState;
  readonly leadTransferee: NodeId;
  readonly config: ConfState;
  /** Empty unless this node leads. */
  readonly progress: ReadonlyMap<NodeId, ProgressView>;
}
