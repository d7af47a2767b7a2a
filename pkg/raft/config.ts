import type { Index, NodeId } from './message.ts';
import type { Storage } from './storage.ts';

/** Receives sentences for people; nothing in them is an interface. */
export interface Logger {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  fatal(text: string): void;
}

/** How a node is set up. Everything optional has the default named with it. */
export interface Config {
  /** This node. Random and never reused: a node that lost its disk must come back under another id. */
  readonly id: NodeId;
  readonly storage: Storage;
  /** In [0, 1). The only source of randomness, used for election timeouts. */
  random(): number;
  /** Ticks without a leader until a node campaigns (10); the actual timeout is drawn from [n, 2n). */
  readonly electionTick?: number | undefined;
  /** Ticks between heartbeats (1). */
  readonly heartbeatTick?: number | undefined;
  /** The last index the owner already applied, on a restart (0). */
  readonly applied?: Index | undefined;
  /** Hand storage work out as messages to LOCAL_APPEND and LOCAL_APPLY, instead of Ready and advance (false). */
  readonly asyncStorageWrites?: boolean | undefined;
  /** Bytes of entries in one MsgApp (1 MiB). */
  readonly maxSizePerMsg?: number | undefined;
  /** Bytes of committed entries in one Ready (0: as maxSizePerMsg). */
  readonly maxCommittedSizePerReady?: number | undefined;
  /** Bytes of proposals not yet committed, above which a leader drops proposals (0: no limit). */
  readonly maxUncommittedEntriesSize?: number | undefined;
  /** MsgApps on the way to one follower (256). */
  readonly maxInflightMsgs?: number | undefined;
  /** Bytes on the way to one follower (0: no limit). */
  readonly maxInflightBytes?: number | undefined;
  /** A leader that does not hear from a quorum for an election timeout steps down (true). */
  readonly checkQuorum?: boolean | undefined;
  /** Ask whether an election can be won before raising the term (true). */
  readonly preVote?: boolean | undefined;
  /** `safe` asks a quorum for every read; `lease-based` trusts the clocks and needs checkQuorum (safe). */
  readonly readOnlyOption?: 'safe' | 'lease-based' | undefined;
  /** A follower drops proposals instead of forwarding them to the leader (false). */
  readonly disableProposalForwarding?: boolean | undefined;
  /** Append configuration changes that do not fit the current configuration (false). */
  readonly disableConfChangeValidation?: boolean | undefined;
  /** A leader that applied its own removal or demotion becomes a follower (true). */
  readonly stepDownOnRemoval?: boolean | undefined;
  readonly logger?: Logger | undefined;
}
