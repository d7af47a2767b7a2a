/**
 * Maps the shape that a runner of etcd-raft's data-driven files expects onto this package: the quorum functions and the
 * membership changes as units, and the node as it is.
 */
import {
  changeSimply,
  enterJoint,
  leaveJoint,
  type Membership,
} from '../../../pkg/raft/conf-change.ts';
import type { ConfChangeSingle, Config, ConfState, NodeId } from '../../../pkg/raft/index.ts';
import * as raft from '../../../pkg/raft/index.ts';
import { Progress } from '../../../pkg/raft/progress.ts';
import { jointCommitted, jointVote } from '../../../pkg/raft/quorum/joint.ts';
import type { VoteResult } from '../../../pkg/raft/quorum/majority.ts';
import type { ProgressView } from '../../../pkg/raft/ready.ts';

export const { decodeConfChange, LOCAL_APPEND, LOCAL_APPLY } = raft;

export function newRawNode(config: Config): raft.RawNode {
  return new raft.RawNode(config);
}

export const quorum = {
  committedIndex(
    voters: readonly NodeId[],
    votersOutgoing: readonly NodeId[] | null,
    acked: ReadonlyMap<NodeId, number>,
  ): number {
    return jointCommitted({ voters, votersOutgoing: votersOutgoing ?? [] }, (id) => acked.get(id));
  },
  voteResult(
    voters: readonly NodeId[],
    votersOutgoing: readonly NodeId[] | null,
    votes: ReadonlyMap<NodeId, boolean>,
  ): VoteResult {
    return jointVote({ voters, votersOutgoing: votersOutgoing ?? [] }, votes);
  },
};

interface ChangerResult {
  readonly config: ConfState & { readonly joint: boolean };
  readonly progress: ReadonlyMap<NodeId, ProgressView>;
}

interface Changer {
  simple(lastIndex: number, changes: readonly ConfChangeSingle[]): ChangerResult;
  enterJoint(
    lastIndex: number,
    autoLeave: boolean,
    changes: readonly ConfChangeSingle[],
  ): ChangerResult;
  leaveJoint(lastIndex: number): ChangerResult;
}

const LIMITS = { maxInflightMsgs: 10, maxInflightBytes: 0 };
const EMPTY = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

export function newChanger(): Changer {
  let current: Membership = { config: EMPTY, progress: new Map() };
  const take = (next: Membership): ChangerResult => {
    current = next;
    const progress = new Map([...next.progress].map(([id, member]) => [id, member.view()]));
    return { config: { ...next.config, joint: next.config.votersOutgoing.length > 0 }, progress };
  };
  const make =
    (lastIndex: number) =>
    (id: NodeId, isLearner: boolean): Progress => {
      const member = { id, isLearner, next: Math.max(lastIndex, 1) };
      const progress = Progress.create(member, LIMITS);
      progress.recentActive = true;
      return progress;
    };
  return {
    simple: (lastIndex, changes) => take(changeSimply(current, changes, make(lastIndex))),
    enterJoint: (lastIndex, autoLeave, changes): ChangerResult => {
      const transition = autoLeave ? 'implicit' : 'explicit';
      return take(enterJoint(current, { transition, changes }, make(lastIndex)));
    },
    leaveJoint: () => take(leaveJoint(current)),
  };
}
