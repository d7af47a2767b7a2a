/** A member of the group. Positive safe integer; 0 means "nobody". */
export type NodeId = number;
/** A position in the log. 0 is the position before the first entry. */
export type Index = number;

/** No node: an unknown leader, an unused vote. */
export const NONE: NodeId = 0;
/** Address of the local thread that writes entries, hard state and snapshots (async storage writes only). */
export const LOCAL_APPEND: NodeId = Number.MAX_SAFE_INTEGER;
/** Address of the local thread that applies committed entries (async storage writes only). */
export const LOCAL_APPLY: NodeId = Number.MAX_SAFE_INTEGER - 1;

export type EntryType = 'EntryNormal' | 'EntryConfChange' | 'EntryConfChangeV2';

/** One log entry. Immutable from the moment it is proposed; `data` must not be written to either. */
export interface Entry {
  readonly term: number;
  readonly index: Index;
  readonly type: EntryType;
  /** Null or empty for the first entry of a leader and for the automatic leave of a joint configuration. */
  readonly data: Uint8Array | null;
}

/** The membership that results from applying the log up to some index. All lists ascend. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  /** Voters of the configuration that is being left; not empty only while joint. */
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Outgoing voters that become learners as soon as the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  readonly autoLeave: boolean;
}

/** State machine contents at `index`, replacing all log entries up to it. */
export interface Snapshot {
  readonly index: Index;
  readonly term: number;
  readonly confState: ConfState;
  readonly data: Uint8Array;
}

/** What must survive a crash besides the entries. Write entries before the hard state that commits them. */
export interface HardState {
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: Index;
}

export type MessageType =
  | 'MsgHup'
  | 'MsgBeat'
  | 'MsgProp'
  | 'MsgApp'
  | 'MsgAppResp'
  | 'MsgVote'
  | 'MsgVoteResp'
  | 'MsgSnap'
  | 'MsgHeartbeat'
  | 'MsgHeartbeatResp'
  | 'MsgUnreachable'
  | 'MsgSnapStatus'
  | 'MsgCheckQuorum'
  | 'MsgTransferLeader'
  | 'MsgTimeoutNow'
  | 'MsgReadIndex'
  | 'MsgReadIndexResp'
  | 'MsgPreVote'
  | 'MsgPreVoteResp'
  | 'MsgStorageAppend'
  | 'MsgStorageAppendResp'
  | 'MsgStorageApply'
  | 'MsgStorageApplyResp'
  | 'MsgForgetLeader';

/**
 * One message between nodes, or between a node and its storage threads.
 * An absent number means 0, an absent list means empty. A transport must carry every field.
 */
export interface Message {
  readonly type: MessageType;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term?: number | undefined;
  /** Term of the entry at `index`. */
  readonly logTerm?: number | undefined;
  readonly index?: Index | undefined;
  readonly entries?: readonly Entry[] | undefined;
  readonly commit?: Index | undefined;
  /** MsgStorageAppend only: the vote to make durable. */
  readonly vote?: NodeId | undefined;
  readonly snapshot?: Snapshot | null | undefined;
  readonly reject?: boolean | undefined;
  /** MsgAppResp with `reject`: where the leader should look next (the term there is `logTerm`). */
  readonly rejectHint?: Index | undefined;
  /** Identifies a read index round (MsgReadIndex, MsgReadIndexResp, MsgHeartbeat, MsgHeartbeatResp). */
  readonly context?: Uint8Array | undefined;
  /** MsgVote only: sent on request of the leader, so the receiver's lease on that leader does not count. */
  readonly leaderTransfer?: boolean | undefined;
  /** Vote requests and rejections: the sender's commit index and the term of that entry, so that a commit cannot be known to one node only. */
  readonly hintCommit?: Index | undefined;
  readonly hintTerm?: number | undefined;
  /** MsgStorageAppend and MsgStorageApply: deliver these once the work is durable (or applied). */
  readonly responses?: readonly Message[] | undefined;
}

/** All fields absent. Messages that are made from it have one shape, which makes reading them fast. */
export const BLANK: Message = {
  type: 'MsgHup',
  from: NONE,
  to: NONE,
  term: undefined,
  logTerm: undefined,
  index: undefined,
  entries: undefined,
  commit: undefined,
  vote: undefined,
  snapshot: undefined,
  reject: undefined,
  rejectHint: undefined,
  context: undefined,
  leaderTransfer: undefined,
  hintCommit: undefined,
  hintTerm: undefined,
  responses: undefined,
};

/** True when the hard state says nothing, as on a node that never ran. */
export function isEmptyHardState(state: HardState): boolean {
  return state.term === 0 && state.vote === NONE && state.commit === 0;
}

export const EMPTY_CONF_STATE: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

const ENTRY_OVERHEAD_BYTES = 12;

/** Bytes an entry is counted with against the message and memory limits. */
export function entrySize(entry: Entry): number {
  return ENTRY_OVERHEAD_BYTES + (entry.data?.length ?? 0);
}

/** Bytes of `data` alone, the measure of what is proposed and not yet committed. */
export function payloadsSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const entry of entries) size += entry.data?.length ?? 0;
  return size;
}
