import type { TLSSocket } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { ClusterError, errorMessage, type NodeId } from '../model/index.ts';
import { RpcClient } from './client.ts';
import {
  Raft,
  type SnapshotChunk,
  SnapshotChunkSchema,
  SnapshotTakenSchema,
} from './gen/raft.pb.ts';
import type { MessageStream } from './message-stream.ts';
import { decodeSender, EMPTY_FRAME, FrameReader, RAFT_PROTOCOL } from './raft-frames.ts';
import { RaftLink, type RaftLinkOptions } from './raft-link.ts';
import { type Caller, type ProtocolBinding, type ServiceBinding, streaming } from './server.ts';

/** Another manager's replica. */
export interface RaftPeer {
  readonly raftId: number;
  /** host:port */
  readonly address: string;
}

/** The local replica, to which everything that arrives is handed. */
export interface RaftReceiver {
  receive(fromRaftId: number, payload: Uint8Array): void;
  /** Resolves when the snapshot was taken. */
  receiveSnapshot(fromRaftId: number, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Messages to this peer were lost. */
  unreachable(raftId: number): void;
  /** The node that a replica belongs to; undefined when it is not known yet. */
  nodeOf(raftId: number): NodeId | undefined;
}

const CONNECT_TIMEOUT_MS = 1_000;
/** Who dialled pings once a second. */
const SILENT_MS = 15_000;
const SNAPSHOT_TIMEOUT_MS = 10 * 60 * 1000;

/** The store's `Transport`: one connection per peer and direction, in order, lossy when a peer is away; snapshots aside. */
export class RaftTransport {
  readonly #options: RaftLinkOptions;
  readonly #links = new Map<number, RaftLink>();
  #receiver: RaftReceiver | undefined;
  #closed = false;

  constructor(options: RaftLinkOptions) {
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
      link = new RaftLink(to.address, this.#options, () => this.#receiver?.unreachable(to.raftId));
      this.#links.set(to.raftId, link);
    }
    link.enqueue(payload);
  }

  /** Resolves when the peer has taken all of it; throws what it refused it with, or `ClusterError`, within ten minutes. */
  async sendSnapshot(to: RaftPeer, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const client = RpcClient.connect(to.address, this.#options.credentials);
    const stream = client.stream(Raft.method.snapshot);
    const timeout = this.#options.clock.after(SNAPSHOT_TIMEOUT_MS, () => stream.cancel());
    try {
      await client.ready(CONNECT_TIMEOUT_MS);
      const taken = firstOf(stream);
      const state = { over: false };
      const end = (): void => {
        state.over = true;
      };
      taken.then(end, end);
      await Promise.race([taken, this.#upload(stream, chunks, state)]);
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

  /** The receiving side of messages, for the server. */
  protocol(): ProtocolBinding {
    return {
      protocol: RAFT_PROTOCOL,
      allowed: ['manager'],
      accept: (socket, caller): void => this.#accept(socket, caller),
    };
  }

  /** The receiving side of snapshots, for the server. */
  service(): ServiceBinding {
    return {
      service: Raft,
      methods: [
        streaming(Raft.method.snapshot, ['manager'], async (stream, caller) => {
          const { from, chunks } = await openSnapshot(stream);
          this.#mustSpeakFor(from, caller);
          await this.#listening().receiveSnapshot(from, chunks);
          stream.send(create(SnapshotTakenSchema));
        }),
      ],
    };
  }

  /** The member was removed: its connection ends. */
  forget(raftId: number): void {
    this.#links.get(raftId)?.close();
    this.#links.delete(raftId);
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  #accept(socket: TLSSocket, caller: Caller): void {
    let from = 0;
    const reader = new FrameReader((payload) => {
      if (payload.length === 0) socket.write(EMPTY_FRAME);
      else if (from === 0) from = decodeSender(payload);
      else {
        this.#mustSpeakFor(from, caller);
        this.#listening().receive(from, payload);
      }
    });
    socket.setTimeout(SILENT_MS, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        // The other side sees the connection break, and tries again.
        this.#options.log.debug('raft connection ended', { from, error: errorMessage(error) });
        socket.destroy();
      }
    });
  }

  /** A node speaks for its own replica only. */
  #mustSpeakFor(raftId: number, { nodeId }: Caller): void {
    const owner = this.#receiver?.nodeOf(raftId);
    if (owner === undefined || owner === nodeId) return;
    const text = `node ${nodeId} cannot speak for member ${raftId}, which is of node ${owner}`;
    throw new ClusterError('forbidden', text);
  }

  #listening(): RaftReceiver {
    if (this.#receiver) return this.#receiver;
    throw new ClusterError('unavailable', 'this manager does not take part in the group yet');
  }

  /** No faster than the peer takes it: what it does not take stays where it is read from. */
  async #upload(
    stream: MessageStream<SnapshotChunk, unknown>,
    chunks: AsyncIterable<Uint8Array>,
    state: { readonly over: boolean },
  ): Promise<void> {
    stream.send(create(SnapshotChunkSchema, { from: BigInt(this.#options.raftId) }));
    for await (const body of chunks) {
      if (!stream.send(create(SnapshotChunkSchema, { body }))) await stream.drained();
      if (state.over) return;
    }
    stream.end();
  }
}

/** Who sends, and what. */
async function openSnapshot(
  stream: AsyncIterable<SnapshotChunk>,
): Promise<{ readonly from: number; readonly chunks: AsyncIterable<Uint8Array> }> {
  const iterator = stream[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done || first.value.from === 0n) {
    throw new ClusterError('invalid', 'a snapshot does not say who sends it');
  }
  return { from: Number(first.value.from), chunks: bodiesOf(iterator) };
}

async function* bodiesOf(chunks: AsyncIterator<SnapshotChunk>): AsyncGenerator<Uint8Array> {
  for (let next = await chunks.next(); !next.done; next = await chunks.next())
    yield next.value.body;
}

async function firstOf(stream: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of stream) return true;
  return false;
}

function lostSnapshot(peer: RaftPeer): ClusterError {
  return new ClusterError('unavailable', `${peer.address} closed the stream of the snapshot`);
}
