import { create } from '@bufbuild/protobuf';
import type { Clock, Logger, Random } from '../io/index.ts';
import { sleep } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
import { RpcClient } from './client.ts';
import type { Credentials } from './credentials.ts';
import {
  MessageBatchSchema,
  Raft,
  type SnapshotChunk,
  SnapshotChunkSchema,
  SnapshotTakenSchema,
} from './gen/raft.pb.ts';
import type { MessageStream } from './message-stream.ts';
import { type ServiceBinding, streaming } from './server.ts';

/** Another manager's replica. */
export interface RaftPeer {
  readonly raftId: number;
  /** host:port */
  readonly address: string;
}

/** The local replica, to which everything that arrives is handed. */
export interface RaftReceiver {
  receive(fromRaftId: number, payload: Uint8Array): void;
  /** Messages to this peer were lost. */
  unreachable(raftId: number): void;
}

export interface RaftTransportOptions {
  readonly credentials: Credentials;
  readonly raftId: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
const BATCH_BYTES_MAX = 1024 * 1024;
const CHUNK_BYTES_MAX = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 1_000;
const KEEPALIVE_MS = 1_000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 300;
const SNAPSHOT_TIMEOUT_MS = 10 * 60 * 1000;
const SNAPSHOT_BYTES_MAX = 2 * 1024 * 1024 * 1024;

/** The store's `Transport`: one long stream per peer, in order, lossy when a peer is away; large messages aside. */
export class RaftTransport {
  readonly #options: RaftTransportOptions;
  readonly #links = new Map<number, PeerLink>();
  #receiver: RaftReceiver | undefined;
  #closed = false;

  constructor(options: RaftTransportOptions) {
    this.#options = options;
  }

  /** Queues a message; never blocks and never throws. What cannot be sent is dropped and told to `unreachable`. */
  send(to: RaftPeer, payload: Uint8Array): void {
    if (this.#closed) return;
    let link = this.#links.get(to.raftId);
    if (link && link.address !== to.address) {
      link.close();
      link = undefined;
    }
    if (!link) {
      link = new PeerLink(to, this.#options, () => this.#receiver?.unreachable(to.raftId));
      this.#links.set(to.raftId, link);
    }
    link.enqueue(payload);
  }

  /** Resolves when the peer has all of it; throws `ClusterError` otherwise, within ten minutes. */
  async sendSnapshot(to: RaftPeer, payload: Uint8Array): Promise<void> {
    const client = RpcClient.connect(to.address, this.#options.credentials);
    const stream = client.stream(Raft.method.snapshot);
    const timeout = this.#options.clock.after(SNAPSHOT_TIMEOUT_MS, () => stream.cancel());
    try {
      await client.ready(CONNECT_TIMEOUT_MS);
      const taken = firstOf(stream);
      await Promise.race([taken, this.#upload(stream, payload)]);
      if (!(await taken)) throw lostSnapshot(to);
    } finally {
      timeout.cancel();
      stream.cancel();
      client.close();
    }
  }

  /** Begin to hand over what arrives; disposing ends it. */
  listen(receiver: RaftReceiver): Disposable {
    this.#receiver = receiver;
    return {
      [Symbol.dispose]: (): void => {
        if (this.#receiver === receiver) this.#receiver = undefined;
      },
    };
  }

  /** The receiving side, for the server. */
  service(): ServiceBinding {
    return {
      service: Raft,
      methods: [
        streaming(Raft.method.messages, ['manager'], async (stream) => {
          let from = 0;
          for await (const batch of stream) {
            if (from === 0) from = Number(batch.from);
            const receiver = this.#listening();
            for (const payload of batch.payloads) receiver.receive(from, payload);
          }
        }),
        streaming(Raft.method.snapshot, ['manager'], async (stream) => {
          const { from, payload } = await assemble(stream);
          this.#listening().receive(from, payload);
          stream.send(create(SnapshotTakenSchema));
        }),
      ],
    };
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  #listening(): RaftReceiver {
    if (this.#receiver) return this.#receiver;
    throw new ClusterError('unavailable', 'this manager does not take part in the group yet');
  }

  async #upload(stream: MessageStream<SnapshotChunk, unknown>, payload: Uint8Array): Promise<void> {
    const from = BigInt(this.#options.raftId);
    const total = BigInt(payload.length);
    stream.send(create(SnapshotChunkSchema, { from, total }));
    for (let at = 0; at < payload.length; at += CHUNK_BYTES_MAX) {
      const body = payload.subarray(at, at + CHUNK_BYTES_MAX);
      if (!stream.send(create(SnapshotChunkSchema, { body }))) await stream.drained();
    }
    stream.end();
  }
}

async function assemble(
  stream: AsyncIterable<SnapshotChunk>,
): Promise<{ readonly from: number; readonly payload: Uint8Array }> {
  let from = 0;
  let length = 0;
  let payload = new Uint8Array(0);
  for await (const { from: sender, total, body } of stream) {
    if (from === 0) {
      from = Number(sender);
      if (total > SNAPSHOT_BYTES_MAX) throw new ClusterError('invalid', 'snapshot is too large');
      payload = new Uint8Array(Number(total));
    }
    if (length + body.length > payload.length) break;
    payload.set(body, length);
    length += body.length;
  }
  if (from !== 0 && length === payload.length) return { from, payload };
  throw new ClusterError('invalid', `snapshot has ${length} of ${payload.length} bytes`);
}

async function firstOf(stream: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of stream) return true;
  return false;
}

function lostSnapshot(peer: RaftPeer): ClusterError {
  return new ClusterError('unavailable', `${peer.address} closed the stream of the snapshot`);
}

/** The queue to one peer and the stream that empties it. */
class PeerLink {
  readonly address: string;
  readonly #options: RaftTransportOptions;
  readonly #onLost: () => void;
  readonly #abort = new AbortController();
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #wake: () => void = () => undefined;

  constructor(peer: RaftPeer, options: RaftTransportOptions, onLost: () => void) {
    this.#onLost = onLost;
    this.address = peer.address;
    this.#options = options;
    this.#run().catch((error: unknown) => {
      if (!this.#abort.signal.aborted) {
        options.log.error('raft link ended', { address: peer.address, error });
      }
    });
  }

  enqueue(payload: Uint8Array): void {
    if (this.#bytes + payload.length > QUEUE_BYTES_MAX) {
      this.#drop();
      return;
    }
    this.#queue.push(payload);
    this.#bytes += payload.length;
    this.#wake();
  }

  close(): void {
    this.#abort.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { clock, random, log } = this.#options;
    let backoffMs = BACKOFF_FIRST_MS;
    while (!signal.aborted) {
      // A peer that left the group is not sent anything any more, so it is not dialled any more either.
      await this.#untilQueued();
      if (signal.aborted) return;
      try {
        await this.#connection(() => {
          backoffMs = BACKOFF_FIRST_MS;
        });
      } catch (error) {
        log.debug('raft peer lost', { address: this.address, error: errorMessage(error) });
      }
      if (signal.aborted) return;
      this.#drop();
      await sleep(clock, backoffMs * (0.5 + random.float()), signal);
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
    }
  }

  async #connection(onConnected: () => void): Promise<void> {
    const client = RpcClient.connect(this.address, this.#options.credentials, {
      keepaliveMs: KEEPALIVE_MS,
    });
    try {
      await client.ready(CONNECT_TIMEOUT_MS);
      onConnected();
      const stream = client.stream(Raft.method.messages);
      let open = true;
      const over = firstOf(stream).finally(() => {
        open = false;
        this.#wake();
      });
      over.catch(() => undefined);
      await this.#pump(stream, () => open && !this.#abort.signal.aborted);
      stream.cancel();
    } finally {
      client.close();
    }
  }

  /** One batch per wake-up: what was enqueued in the same turn of the event loop travels together. */
  async #pump(
    stream: MessageStream<ReturnType<typeof batchOf>, unknown>,
    isOpen: () => boolean,
  ): Promise<void> {
    while (isOpen()) {
      if (this.#queue.length === 0) {
        await this.#woken();
        continue;
      }
      const batch = batchOf(this.#options.raftId, this.#take());
      if (!stream.send(batch)) await stream.drained();
    }
  }

  async #untilQueued(): Promise<void> {
    while (this.#queue.length === 0 && !this.#abort.signal.aborted) await this.#woken();
  }

  async #woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  #take(): Uint8Array[] {
    let count = 0;
    let bytes = 0;
    for (const payload of this.#queue) {
      if (count > 0 && bytes + payload.length > BATCH_BYTES_MAX) break;
      bytes += payload.length;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#queue.splice(0, count);
  }

  /** What could not be sent is stale by the time the peer is back; raft repeats what matters. */
  #drop(): void {
    this.#queue = [];
    this.#bytes = 0;
    this.#onLost();
  }
}

function batchOf(
  from: number,
  payloads: Uint8Array[],
): ReturnType<typeof create<typeof MessageBatchSchema>> {
  return create(MessageBatchSchema, { from: BigInt(from), payloads });
}
