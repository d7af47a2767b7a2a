import type { Message, MessageType } from 'raft-js';
import type { Logger } from '../io/index.ts';
import { decodeEnvelope, type Envelope } from './message-codec.ts';
import type { Peers } from './peers.ts';
import type { SnapshotFolder } from './snapshot.ts';
import type { TransportReceiver } from './transport.ts';

export interface InboxOptions {
  readonly clusterId: string;
  readonly selfId: number;
  readonly peers: Peers;
  readonly snapshots: SnapshotFolder;
  readonly logger: Logger;
  readonly step: (message: Message) => void;
  readonly unreachable: (raftId: number) => void;
  readonly isRemoved: (raftId: number) => boolean;
  /** Tell a member that it was removed. */
  readonly tellRemoved: (raftId: number) => void;
  /** This member was told that it was removed. */
  readonly removed: () => void;
}

/** Forwarded on behalf of another member; everything else speaks for its sender only. */
const FORWARDED: ReadonlySet<MessageType> = new Set([
  'MsgProp',
  'MsgReadIndex',
  'MsgTransferLeader',
]);

/** Takes in what other members send, and refuses what does not come from this group. */
export class Inbox implements TransportReceiver {
  readonly #options: InboxOptions;
  /** One snapshot is taken in at a time; the sender of another one tries again. */
  #receiving = false;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  receive(fromRaftId: number, payload: Uint8Array): void {
    const { clusterId, logger, isRemoved, tellRemoved, peers } = this.#options;
    let envelope: Envelope | undefined;
    try {
      envelope = decodeEnvelope(clusterId, payload);
    } catch (error) {
      logger.warn('message from another manager does not decode', { member: fromRaftId, error });
      return;
    }
    if (envelope === undefined) {
      logger.warn('message from another cluster', { member: fromRaftId });
      return;
    }
    if (isRemoved(fromRaftId)) {
      if (envelope.kind !== 'removed') tellRemoved(fromRaftId);
      return;
    }
    peers.heard(fromRaftId);
    this.#take(fromRaftId, envelope);
  }

  unreachable(raftId: number): void {
    this.#options.unreachable(raftId);
  }

  #take(from: number, envelope: Envelope): void {
    switch (envelope.kind) {
      case 'messages':
        for (const message of envelope.messages) this.#step(from, message);
        break;
      case 'snapshot':
        void this.#receiveSnapshot(from, envelope.message, envelope.file);
        break;
      case 'removed':
        this.#options.removed();
        break;
      case 'hello':
        if (envelope.member.raftId === from) this.#options.peers.told(envelope.member);
        break;
    }
  }

  #step(from: number, message: Message): void {
    const { selfId, step } = this.#options;
    if (message.to !== selfId) return;
    if (message.from !== from && !FORWARDED.has(message.type)) return;
    step(message);
  }

  async #receiveSnapshot(from: number, message: Message, file: Uint8Array): Promise<void> {
    const { snapshot } = message;
    if (this.#receiving || !snapshot) return;
    this.#receiving = true;
    try {
      await this.#options.snapshots.receive(snapshot, file);
      this.#step(from, message);
    } catch (error) {
      const { logger } = this.#options;
      logger.warn('received log snapshot refused', { member: from, index: snapshot.index, error });
    } finally {
      this.#receiving = false;
    }
  }
}
