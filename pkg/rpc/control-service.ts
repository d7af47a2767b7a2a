import { Duplex } from 'node:stream';
import { ClusterError, type NodeId } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { type Bytes, Control } from './gen/control.pb.ts';
import type { MessageStream } from './message-stream.ts';
import { type Caller, type ServiceBinding, streaming, unary } from './server.ts';

/** A manager in the raft group. */
export interface GroupMember {
  readonly raftId: number;
  readonly nodeId: NodeId;
  /** host:port that other managers dial. */
  readonly address: string;
}

/** Answer of a manager that does not lead: ask there. */
export interface AskLeader {
  readonly leader: string;
}

export interface ControlHandlers {
  /** Adds the caller; resolves once the change is committed, with everybody who is in the group then. */
  join(member: GroupMember): Promise<AskLeader | { readonly members: readonly GroupMember[] }>;
  /** Takes a member out; `{}` when done or when it was not in. */
  leave(raftId: number, caller: Caller): Promise<AskLeader | Record<string, never>>;
  /** A byte stream to this manager's API, as if a client had connected. Owns `tunnel`. */
  tunnel(tunnel: Duplex, caller: Caller): void;
}

const MANAGERS = ['manager'] as const;

/** What managers ask of each other. A manager joins only itself. */
export function controlService(handlers: ControlHandlers): ServiceBinding {
  const { join, leave, tunnel } = Control.method;
  return {
    service: Control,
    methods: [
      unary(join, MANAGERS, async ({ raftId, nodeId, address }, caller) => {
        if (nodeId !== caller.nodeId) {
          throw new ClusterError('forbidden', `node ${caller.nodeId} cannot join as ${nodeId}`);
        }
        const answer = await handlers.join({
          raftId: Number(raftId),
          nodeId: caller.nodeId,
          address,
        });
        if ('leader' in answer) return { leader: answer.leader };
        const members = answer.members.map((member) => ({
          ...member,
          raftId: BigInt(member.raftId),
        }));
        return { members };
      }),
      unary(leave, MANAGERS, async ({ raftId }, caller) => {
        const answer = await handlers.leave(Number(raftId), caller);
        return 'leader' in answer ? { leader: answer.leader ?? '' } : {};
      }),
      streaming(tunnel, MANAGERS, async (stream, caller) => {
        const duplex = new TunnelStream(stream);
        const closed = new Promise<void>((resolve) => duplex.once('close', resolve));
        handlers.tunnel(duplex, caller);
        await closed;
      }),
    ],
  };
}

/** Asks a manager to take `member` into the group. A follower answers with the leader's address. */
export async function joinGroup(
  client: RpcClient,
  member: GroupMember,
): Promise<AskLeader | { readonly members: readonly GroupMember[] }> {
  const request = { ...member, raftId: BigInt(member.raftId) };
  const answer = await client.unary(Control.method.join, request, { deadlineMs: 30_000 });
  if (answer.leader !== '') return { leader: answer.leader };
  const members = answer.members.map(({ raftId, nodeId, address }) => ({
    raftId: Number(raftId),
    nodeId: nodeId as NodeId,
    address,
  }));
  return { members };
}

/** Asks a manager to take a member out. `{ leader }`: ask there instead. */
export async function leaveGroup(
  client: RpcClient,
  raftId: number,
): Promise<AskLeader | undefined> {
  const request = { raftId: BigInt(raftId) };
  const answer = await client.unary(Control.method.leave, request, { deadlineMs: 30_000 });
  return answer.leader === '' ? undefined : { leader: answer.leader };
}

/** A byte stream to the API of the manager behind `client`; usable as the socket of an HTTP request. */
export function openTunnel(client: RpcClient): Duplex {
  return new TunnelStream(client.stream(Control.method.tunnel));
}

const TUNNEL_CHUNK_BYTES_MAX = 64 * 1024;
type BytesStream = MessageStream<Bytes, Bytes>;

/** Bytes over a message stream, with back-pressure both ways. Socket-like enough for node:http. */
class TunnelStream extends Duplex {
  readonly #stream: BytesStream;
  readonly #incoming: AsyncIterator<Bytes>;
  #reading = false;

  constructor(stream: BytesStream) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    this.#incoming = stream[Symbol.asyncIterator]();
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#incoming.next().then(
      ({ done, value }) => {
        this.#reading = false;
        this.push(done ? null : value.data);
      },
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    let free = true;
    for (let at = 0; at < chunk.length; at += TUNNEL_CHUNK_BYTES_MAX) {
      const data = chunk.subarray(at, at + TUNNEL_CHUNK_BYTES_MAX);
      free = this.#stream.send({ $typeName: 'muster.control.Bytes', data });
    }
    if (free) done();
    else this.#stream.drained().then(() => done(), done);
  }

  override _final(done: () => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.cancel();
    done(error);
  }

  /** node:http calls these on every socket; a tunnel has no such options. */
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}
