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

export interface ControlHandlers {
  /** Adds the caller; resolves once the change is committed, with everybody who is in the group then. */
  join(member: GroupMember): Promise<AskLeader | { readonly members: readonly GroupMember[] }>;
  /** Takes a member out; `{}` when done or when it was not in. */
  leave(raftId: number, caller: Caller): Promise<AskLeader | Record<string, never>>;
}

const MANAGERS = ['manager'] as const;

/** What managers ask of each other. A manager joins only itself. */
export function controlService(handlers: ControlHandlers): ServiceBinding {
  const { join, leave } = Control.method;
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
