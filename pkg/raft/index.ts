export type {
  ConfChange,
  ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
} from './conf-change-codec.ts';
export { decodeConfChange, encodeConfChange } from './conf-change-codec.ts';
export type { Config, Logger } from './config.ts';
export type { RaftErrorCode } from './error.ts';
export { hasCode, RaftError } from './error.ts';
export type {
  ConfState,
  Entry,
  EntryType,
  HardState,
  Index,
  Message,
  MessageType,
  NodeId,
  Snapshot,
} from './message.ts';
export { entrySize, isEmptyHardState, LOCAL_APPEND, LOCAL_APPLY, NONE } from './message.ts';
export { RawNode } from './raw-node.ts';
export type {
  ProgressState,
  ProgressView,
  RaftState,
  ReadState,
  Ready,
  SoftState,
} from './ready.ts';
export type { Status } from './status.ts';
export type { Storage } from './storage.ts';
export { MemoryStorage } from './storage.ts';
