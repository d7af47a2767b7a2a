import { ClusterError, type NodeId } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { Control } from './gen/control.pb.ts';
import { type Caller, type ServiceBinding, unary } from './server.ts';

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

/** Where members are reached, as far as one of them knows. */
export interface Introduction {
  /** Raft id of who says so; one of the members. */
  readonly by: number;
  readonly members: readonly GroupMember[];
}

export interface ControlHandlers {
  /** Adds the caller; resolves once the change is committed, with everybody who is in the group then. */
  join(member: GroupMember): Promise<AskLeader | { readonly members: readonly GroupMember[] }>;
  /** Takes a member out; `{}` when done or when it was not in. */
  leave(raftId: number, caller: Caller): Promise<AskLeader | Record<string, never>>;
  /** The caller says where it is reached now. Needs no leader. */
  introduce(member: GroupMember): Introduction;
}

const MANAGERS = ['manager'] as const;

/** What managers ask of each other. A manager joins and introduces only itself. */
export function controlService(handlers: ControlHandlers): ServiceBinding {
  const { join, leave, introduce } = Control.method;
  return {
    service: Control,
    methods: [
      unary(join, MANAGERS, async (request, caller) => {
        const answer = await handlers.join(own(request, caller));
        if ('leader' in answer) return { leader: answer.leader };
        return { members: answer.members.map(toMessage) };
      }),
      unary(introduce, MANAGERS, async (request, caller) => {
        const { by, members } = handlers.introduce(own(request, caller));
        return { raftId: BigInt(by), members: members.map(toMessage) };
      }),
      unary(leave, MANAGERS, async ({ raftId }, caller) => {
        const answer = await handlers.leave(Number(raftId), caller);
        return 'leader' in answer ? { leader: answer.leader ?? '' } : {};
      }),
    ],
  };
}

/** Asks a manager to take `member` into the group. A follower answers with the leader's address. */
export async function joinGroup(
  client: RpcClient,
  member: GroupMember,
): Promise<AskLeader | { readonly members: readonly GroupMember[] }> {
  const answer = await client.unary(Control.method.join, toMessage(member), {
    deadlineMs: 30_000,
  });
  if (answer.leader !== '') return { leader: answer.leader };
  return { members: answer.members.map(fromMessage) };
}

/** Tells a manager where `member` is reached, and hears where it and others are. */
export async function introduce(client: RpcClient, member: GroupMember): Promise<Introduction> {
  const answer = await client.unary(Control.method.introduce, toMessage(member), {
    deadlineMs: 2_000,
  });
  return { by: Number(answer.raftId), members: answer.members.map(fromMessage) };
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

type MemberMessage = Omit<GroupMember, 'raftId' | 'nodeId'> & {
  readonly raftId: bigint;
  readonly nodeId: string;
};

function toMessage({ raftId, nodeId, address }: GroupMember): MemberMessage {
  return { raftId: BigInt(raftId), nodeId, address };
}

function fromMessage({ raftId, nodeId, address }: MemberMessage): GroupMember {
  return { raftId: Number(raftId), nodeId: nodeId as NodeId, address };
}

/** What the caller says of itself. @throws ClusterError forbidden when its certificate is another node's */
function own(message: MemberMessage, caller: Caller): GroupMember {
  if (message.nodeId === caller.nodeId) return fromMessage(message);
  const text = `node ${caller.nodeId} cannot speak as ${message.nodeId}`;
  throw new ClusterError('forbidden', text);
}
