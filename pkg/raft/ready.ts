import type { Entry, HardState, Index, Message, NodeId, Snapshot } from './message.ts';

export type RaftState = 'StateFollower' | 'StateCandidate' | 'StateLeader' | 'StatePreCandidate';

/** What the node believes about the group; lost on a crash. */
export interface SoftState {
  readonly lead: NodeId;
  readonly raftState: RaftState;
}

/** A read may be answered as soon as everything up to `index` is applied. */
export interface ReadState {
  readonly index: Index;
  readonly requestCtx: Uint8Array;
}

/**
 * Work for the owner. Without async storage writes, in this order: make `snapshot`, `entries` and `hardState` durable
 * (fsync when `mustSync`), send `messages`, apply `committedEntries`, call `advance`. With them only `messages` counts:
 * those to LOCAL_APPEND and LOCAL_APPLY carry the rest.
 */
export interface Ready {
  /** Null when unchanged since the last Ready. */
  readonly softState: SoftState | null;
  /** Null when unchanged. */
  readonly hardState: HardState | null;
  readonly readStates: readonly ReadState[];
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | null;
  readonly committedEntries: readonly Entry[];
  readonly messages: readonly Message[];
  /** There are entries, or term or vote changed. A new commit index alone needs no fsync. */
  readonly mustSync: boolean;
}

export type ProgressState = 'StateProbe' | 'StateReplicate' | 'StateSnapshot';

/** What a leader knows about one member. */
export interface ProgressView {
  readonly match: Index;
  readonly next: Index;
  readonly state: ProgressState;
  readonly isLearner: boolean;
  /** No MsgApp goes out until the member answers. */
  readonly paused: boolean;
  readonly pendingSnapshot: Index;
  readonly recentActive: boolean;
  readonly inflight: number;
  readonly inflightFull: boolean;
}
