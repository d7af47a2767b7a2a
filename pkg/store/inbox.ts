import type { Message, MessageType } from 'raft-js';
import type { Clock, Logger } from '../io/index.ts';
import { ClusterError, type NodeId } from '../model/index.ts';
import { decodeEnvelope, type Envelope } from './message-codec.ts';
import type { Peers } from './peers.ts';
import type { SnapshotFolder } from './snapshot.ts';
import type { TransportReceiver } from './transport.ts';

export interface InboxOptions {
  readonly clusterId: string;
  readonly selfId: number;
  readonly peers: Peers;
  readonly snapshots: SnapshotFolder;
  readonly clock: Clock;
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
      // It may have moved since, and is told where it is now.
      if (envelope.kind === 'hello') peers.said(fromRaftId, [envelope.member]);
      if (envelope.kind !== 'removed') tellRemoved(fromRaftId);
      return;
    }
    peers.heard(fromRaftId);
    this.#take(fromRaftId, envelope);
  }

  unreachable(raftId: number): void {
    this.#options.unreachable(raftId);
  }

  nodeOf(raftId: number): NodeId | undefined {
    return this.#options.peers.get(raftId)?.nodeId;
  }

  async receiveSnapshot(from: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { clusterId, isRemoved, logger, clock } = this.#options;
    const incoming = inTime(chunks, clock);
    try {
      const first = await incoming.next();
      const envelope = first.done ? undefined : decodeEnvelope(clusterId, first.value);
      if (envelope?.kind !== 'snapshot') throw refused('it is not one of this cluster');
      if (isRemoved(from)) throw refused('its sender was removed');
      await this.#receiveSnapshot(from, envelope.message, incoming);
    } catch (error) {
      logger.warn('received log snapshot not taken', { member: from, error });
      throw error;
    } finally {
      await incoming.return();
    }
  }

  #take(from: number, envelope: Envelope): void {
    switch (envelope.kind) {
      case 'messages':
        for (const message of envelope.messages) this.#step(from, message);
        break;
      case 'snapshot':
        // Only where its content follows.
        break;
      case 'removed':
        this.#options.removed();
        break;
      case 'hello':
        if (envelope.member.raftId === from)
          this.#options.peers.said(from, [...envelope.others, envelope.member]);
        break;
    }
  }

  #step(from: number, message: Message): void {
    const { selfId, step } = this.#options;
    if (message.to !== selfId) return;
    if (message.from !== from && !FORWARDED.has(message.type)) return;
    step(message);
  }

  async #receiveSnapshot(
    from: number,
    message: Message,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { snapshot } = message;
    if (!snapshot) throw refused('its message says nothing of one');
    if (this.#receiving) throw refused('another one is being received');
    this.#receiving = true;
    try {
      await this.#options.snapshots.receive(snapshot, chunks);
      this.#step(from, message);
    } finally {
      this.#receiving = false;
    }
  }
}

/** How long a sender may be silent. */
const CHUNK_MS = 30_000;

/** @throws ClusterError deadline when a chunk does not come: its sender may be gone without a word */
async function* inTime(
  chunks: AsyncIterable<Uint8Array>,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      let timer: Disposable | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = clock.after(CHUNK_MS, () =>
          reject(new ClusterError('deadline', `nothing more of it came within ${CHUNK_MS} ms`)),
        );
      });
      try {
        const next = await Promise.race([iterator.next(), late]);
        if (next.done) return;
        yield next.value;
      } finally {
        timer?.[Symbol.dispose]();
      }
    }
  } finally {
    // It may hang in a call for a chunk that never comes: not to be waited for.
    iterator.return?.().catch(() => undefined);
  }
}

function refused(why: string): ClusterError {
  return new ClusterError('unavailable', `log snapshot refused: ${why}`);
}
