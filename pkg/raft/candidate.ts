import { campaign } from './election.ts';
import { RaftError } from './error.ts';
import { followLeader } from './follower.ts';
import { becomeLeader } from './leader.ts';
import { type Message, NONE } from './message.ts';
import type { Raft } from './raft.ts';
import { broadcastAppend } from './replication.ts';

/** Candidates and pre-candidates; they differ in the answers they wait for. */
export function stepCandidate(r: Raft, m: Message): void {
  switch (m.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      // Somebody else won this term.
      r.becomeFollower(m.term ?? 0, m.from);
      followLeader(r, m);
      break;
    case 'MsgVoteResp':
      if (r.state === 'StateCandidate') countVote(r, m);
      break;
    case 'MsgPreVoteResp':
      if (r.state === 'StatePreCandidate') countVote(r, m);
      break;
    case 'MsgProp':
      throw new RaftError('ErrProposalDropped');
    default:
  }
}

function countVote(r: Raft, m: Message): void {
  const result = r.tracker.recordVote(m.from, m.reject !== true);
  if (result === 'VoteLost') {
    r.becomeFollower(r.term, NONE);
  } else if (result === 'VoteWon' && r.state === 'StatePreCandidate') {
    campaign(r, 'election');
  } else if (result === 'VoteWon') {
    becomeLeader(r);
    broadcastAppend(r);
  }
}
