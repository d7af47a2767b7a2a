import { stepCandidate } from './candidate.ts';
import {
  answerVoteRequest,
  insideLease,
  learnCommit,
  rejectVote,
  tickElection,
} from './election.ts';
import { RaftError } from './error.ts';
import { stepFollower } from './follower.ts';
import { proposeAutoLeave, stepLeader, tickLeader } from './leader.ts';
import type { Index, Message } from './message.ts';
import { BLANK, entrySize, NONE, payloadsSize } from './message.ts';
import type { Raft } from './raft.ts';

/** One tick of the clock. */
export function tick(r: Raft): void {
  if (r.voteHoldTicks > 0) r.voteHoldTicks--;
  if (r.state === 'StateLeader') tickLeader(r);
  else tickElection(r);
}

/** Handles one message. Throws ErrProposalDropped and ErrIndexRange. */
export function step(r: Raft, m: Message): void {
  checkRange(m);
  if (m.hintCommit !== undefined) learnCommit(r, m);
  const term = m.term ?? 0;
  if (term > r.term && !meetHigherTerm(r, m, term)) return;
  if (term !== 0 && term < r.term) {
    meetLowerTerm(r, m);
    return;
  }
  switch (m.type) {
    case 'MsgVote':
    case 'MsgPreVote':
      answerVoteRequest(r, m);
      break;
    case 'MsgStorageAppendResp':
      if (m.index !== undefined) r.log.unstable.stableTo(m.index, m.logTerm ?? 0);
      snapshotStored(r, m);
      break;
    case 'MsgStorageApplyResp':
      entriesApplied(r, m);
      break;
    default:
      stepRole(r, m);
  }
}

function stepRole(r: Raft, m: Message): void {
  if (r.state === 'StateLeader') stepLeader(r, m);
  else if (r.state === 'StateFollower') stepFollower(r, m);
  else stepCandidate(r, m);
}

/** False when the message is to be ignored. */
function meetHigherTerm(r: Raft, m: Message, term: number): boolean {
  const isVoteRequest = m.type === 'MsgVote' || m.type === 'MsgPreVote';
  // A node that lost contact must not disturb those that still hear from their leader.
  if (isVoteRequest && insideLease(r, m)) return false;
  // Asking changes nobody's term, and a granted pre-vote comes from the term asked about, which nobody is in yet.
  if (m.type === 'MsgPreVote' || (m.type === 'MsgPreVoteResp' && m.reject !== true)) return true;
  const fromLeader = m.type === 'MsgApp' || m.type === 'MsgHeartbeat' || m.type === 'MsgSnap';
  r.becomeFollower(term, fromLeader ? m.from : NONE);
  return true;
}

function meetLowerTerm(r: Raft, m: Message): void {
  const { checkQuorum, preVote } = r.settings;
  if (m.type === 'MsgHeartbeat' || m.type === 'MsgApp') {
    // Either it is late, or this node has a higher term than its leader, which it will not get rid of by campaigning
    // (others ignore it, it must not campaign, or it would not ask that leader). The answer makes the leader step down and
    // the terms meet.
    const reaches = r.promotable() && r.tracker.progress(m.from) !== undefined;
    if (checkQuorum || preVote || !reaches) {
      r.sendAfterAppend({ ...BLANK, type: 'MsgAppResp', from: r.id, to: m.from, term: r.term });
    }
  } else if (m.type === 'MsgPreVote') {
    rejectVote(r, m);
  } else if (m.type === 'MsgStorageAppendResp') {
    // Since then entries may have been replaced, even by some that look the same; a snapshot stays good.
    snapshotStored(r, m);
  }
}

function snapshotStored(r: Raft, m: Message): void {
  if (m.snapshot == null) return;
  r.log.unstable.stableSnapshotTo(m.snapshot.index);
  appliedTo(r, m.snapshot.index, 0);
}

function entriesApplied(r: Raft, m: Message): void {
  const entries = m.entries ?? [];
  const last = entries.at(-1);
  if (last === undefined) return;
  let bytes = 0;
  for (const entry of entries) bytes += entrySize(entry);
  appliedTo(r, last.index, bytes);
  // Entries of earlier terms were never counted, so the difference could be negative.
  r.uncommittedSize = Math.max(0, r.uncommittedSize - payloadsSize(entries));
}

function appliedTo(r: Raft, index: Index, bytes: number): void {
  r.log.appliedTo(Math.max(index, r.log.applied), bytes);
  proposeAutoLeave(r);
}

function checkRange(m: Message): void {
  const sound =
    Number.isSafeInteger(m.term ?? 0) &&
    Number.isSafeInteger(m.index ?? 0) &&
    Number.isSafeInteger(m.commit ?? 0);
  if (!sound) throw new RaftError('ErrIndexRange');
}
