import type { NodeId } from '../model/index.ts';

/** Where a member is reached. */
export interface PeerAddress {
  readonly raftId: number;
  /** host:port */
  readonly address: string;
}

/**
 * Carries opaque bytes between managers. Messages to one peer keep their order while a connection lasts; they may be
 * lost, and that is reported. Nothing is retried here: raft does that.
 */
export interface Transport {
  /** Queues a message; never blocks and never throws. What cannot be sent is dropped and reported to `unreachable`. */
  send(to: PeerAddress, payload: Uint8Array): void;
  /**
   * Delivers a snapshot aside from the messages, so that heartbeats are not held up by it, and no faster than the peer
   * takes it. Resolves when the peer has taken all of it, rejects otherwise; must settle within its own deadline.
   */
  sendSnapshot(to: PeerAddress, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** The member was removed: stop trying to reach it. */
  forget?(raftId: number): void;
  /** Begin to hand over what arrives. Called once, before the first send; disposing ends it. */
  listen(receiver: TransportReceiver): Disposable;
}

export interface TransportReceiver {
  /** A message. `fromRaftId` is what the sender's connection claims. */
  receive(fromRaftId: number, payload: Uint8Array): void;
  /** The chunks as they were sent. Resolves when the snapshot is durable and handed on, rejects when it is not taken. */
  receiveSnapshot(fromRaftId: number, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** The last message, or the connection, to this peer was lost. */
  unreachable(raftId: number): void;
  /** Which node's certificate may speak for this member; undefined when it is not known here. */
  nodeOf(raftId: number): NodeId | undefined;
}
