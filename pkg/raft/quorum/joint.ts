import type { Index, NodeId } from '../message.ts';
import { type AckedIndex, majorityCommitted, majorityVote, type VoteResult } from './majority.ts';

/** The two voter sets of a configuration; `votersOutgoing` is empty unless it is joint. */
export interface JointVoters {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
}

/** The highest index that majorities of both sets have acknowledged. */
export function jointCommitted(config: JointVoters, acked: AckedIndex): Index {
  const incoming = majorityCommitted(config.voters, acked);
  if (config.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityCommitted(config.votersOutgoing, acked));
}

/** Won when both sets are won, lost as soon as one is lost. */
export function jointVote(config: JointVoters, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(config.voters, votes);
  const outgoing = majorityVote(config.votersOutgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === 'VoteLost' || outgoing === 'VoteLost' ? 'VoteLost' : 'VotePending';
}
