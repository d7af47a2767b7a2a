import { entrySize, type Message } from 'raft-js';
import type { Clock, Logger } from '../io/index.ts';
import { type Envelope, encodeEnvelope } from './message-codec.ts';
import type { Peers } from './peers.ts';
import type { SnapshotFolder } from './snapshot.ts';
import type { Transport } from './transport.ts';

export interface OutboxOptions {
  readonly clusterId: string;
  readonly transport: Transport;
  readonly peers: Peers;
  readonly snapshots: SnapshotFolder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onUnreachable: (raftId: number) => void;
  /** Must follow every snapshot sent, or its receiver gets nothing any more. */
  readonly onSnapshotSent: (raftId: number, ok: boolean) => void;
}

/**
 * Collects what goes to each member during one turn and sends it as one payload. An acknowledgement that says nothing
 * new (the answer to a message that brought only a commit index) waits for the next payload, the answer to a heartbeat at
 * the latest: for itself it would wake the leader twice for every write.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #waiting = new Map<number, Message[]>();
  /** The newest acknowledgement that left, and one that says no more than that. */
  readonly #acknowledged = new Map<number, { readonly term: number; readonly index: number }>();
  readonly #repeated = new Map<number, Message>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  add(message: Message): void {
    if (message.type === 'MsgSnap') {
      void this.#sendSnapshot(message);
      return;
    }
    if (message.type === 'MsgAppResp' && this.#saysNothingNew(message)) {
      this.#repeated.set(message.to, message);
      return;
    }
    const queue = this.#waiting.get(message.to);
    if (queue) queue.push(message);
    else this.#waiting.set(message.to, [message]);
  }

  flush(): void {
    if (this.#waiting.size === 0) return;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    for (const [raftId, messages] of waiting) {
      const repeated = this.#repeated.get(raftId);
      this.#repeated.delete(raftId);
      if (repeated) messages.unshift(repeated);
      for (const part of byBytes(messages)) this.send(raftId, { kind: 'messages', messages: part });
    }
  }

  send(raftId: number, envelope: Envelope): void {
    const { transport, peers, clusterId, onUnreachable } = this.#options;
    const to = peers.get(raftId);
    if (to === undefined) onUnreachable(raftId);
    else transport.send(to, encodeEnvelope(clusterId, envelope));
  }

  #saysNothingNew({ to, term = 0, index = 0, reject }: Message): boolean {
    const last = this.#acknowledged.get(to);
    if (!reject && last?.term === term && index <= last.index) return true;
    if (reject) this.#acknowledged.delete(to);
    else this.#acknowledged.set(to, { term, index });
    return false;
  }

  async #sendSnapshot(message: Message): Promise<void> {
    const { transport, peers, clusterId, snapshots, logger, onSnapshotSent } = this.#options;
    const { index = 0, term = 0 } = message.snapshot ?? {};
    try {
      const to = peers.get(message.to);
      if (to === undefined) throw new Error(`no address of member ${message.to}`);
      const head = encodeEnvelope(clusterId, { kind: 'snapshot', message });
      const chunks = snapshots.chunks({ index, term });
      await this.#beforeDeadline(transport.sendSnapshot(to, following(head, chunks)));
      onSnapshotSent(message.to, true);
    } catch (error) {
      logger.warn('log snapshot not delivered', { member: message.to, index, error });
      onSnapshotSent(message.to, false);
    }
  }

  async #beforeDeadline(sent: Promise<void>): Promise<void> {
    let timer: Disposable | undefined;
    const late = new Promise<never>((_, reject) => {
      const fail = (): void => reject(new Error(`not delivered within ${SNAPSHOT_MS} ms`));
      timer = this.#options.clock.after(SNAPSHOT_MS, fail);
    });
    try {
      await Promise.race([sent, late]);
    } finally {
      timer?.[Symbol.dispose]();
    }
  }
}

async function* following(
  head: Uint8Array,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield head;
  yield* chunks;
}

const SNAPSHOT_MS = 5 * 60 * 1000;
/** Transports limit a message to a few megabytes; one entry alone has at most 1.5. */
const PAYLOAD_BYTES = 1024 * 1024;

function byBytes(messages: readonly Message[]): readonly (readonly Message[])[] {
  const parts: Message[][] = [[]];
  let bytes = 0;
  for (const message of messages) {
    const size = (message.entries ?? []).reduce((sum, entry) => sum + entrySize(entry), 0);
    if (bytes > 0 && bytes + size > PAYLOAD_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(message);
    bytes += size;
  }
  return parts;
}
