import { assert } from './error.ts';
import type { Index, Message } from './message.ts';
import { BLANK, NONE } from './message.ts';
import type { Raft } from './raft.ts';

/** Why a node campaigns. `transfer`: its leader asked it to, so no lease stands in the way. */
export type CampaignKind = 'preElection' | 'election' | 'transfer';

/** Campaigns if this node may: not as leader, not as learner, not with an unapplied configuration change. */
export function hup(r: Raft, transfer = false): void {
  if (r.state === 'StateLeader') return;
  if (!r.promotable()) {
    r.logger?.warn(`${r.id} cannot campaign: not a voter, or receiving a snapshot`);
    return;
  }
  // Otherwise two leaders could be elected by quorums of different configurations that do not overlap.
  if (r.log.hasUnappliedConfChange()) {
    r.logger?.warn(`${r.id} cannot campaign: a committed configuration change is not applied yet`);
    return;
  }
  if (transfer) campaign(r, 'transfer');
  else campaign(r, r.settings.preVote ? 'preElection' : 'election');
}

/** Becomes a candidate (or asks whether it could win) and asks all voters, itself included. */
export function campaign(r: Raft, kind: CampaignKind): void {
  const pre = kind === 'preElection';
  if (pre) becomePreCandidate(r);
  else becomeCandidate(r);
  const term = pre ? r.term + 1 : r.term;
  const last = r.log.lastId();
  for (const to of r.tracker.voterIds()) {
    if (to === r.id) {
      // The own vote counts when it is durable, as any other.
      r.sendAfterAppend({
        ...BLANK,
        type: pre ? 'MsgPreVoteResp' : 'MsgVoteResp',
        from: r.id,
        to,
        term,
      });
      continue;
    }
    r.send({
      ...BLANK,
      type: pre ? 'MsgPreVote' : 'MsgVote',
      from: r.id,
      to,
      term,
      logTerm: last.term,
      index: last.index,
      leaderTransfer: kind === 'transfer' ? true : undefined,
      ...commitHint(r),
    });
  }
}

/** Answers MsgVote and MsgPreVote of this term, or of a later one in case of MsgPreVote. */
export function answerVoteRequest(r: Raft, m: Message): void {
  const pre = m.type === 'MsgPreVote';
  const term = m.term ?? 0;
  const free = r.vote === m.from || (r.vote === NONE && r.lead === NONE) || (pre && term > r.term);
  const theirs = { index: m.index ?? 0, term: m.logTerm ?? 0 };
  // Not restricted to voters: a learner that was promoted may not know it yet, and its vote may be needed.
  if (!free || !r.log.isUpToDate(theirs)) {
    rejectVote(r, m);
    return;
  }
  // Granted in the term asked for: a candidate ignores an answer from an older term.
  const type = pre ? 'MsgPreVoteResp' : 'MsgVoteResp';
  r.sendAfterAppend({ ...BLANK, type, from: r.id, to: m.from, term });
  if (!pre) {
    r.electionElapsed = 0;
    r.vote = m.from;
  }
}

/** Refuses a vote, in this node's term so that a candidate left behind catches up. */
export function rejectVote(r: Raft, m: Message): void {
  r.sendAfterAppend({
    ...BLANK,
    type: m.type === 'MsgPreVote' ? 'MsgPreVoteResp' : 'MsgVoteResp',
    from: r.id,
    to: m.from,
    term: r.term,
    reject: true,
    ...commitHint(r),
  });
}

/** Whether a vote request must be ignored because a leader was heard from less than an election timeout ago. */
export function insideLease(r: Raft, m: Message): boolean {
  if (m.leaderTransfer === true) return false;
  if (r.voteHoldTicks > 0) return true;
  const { checkQuorum, electionTick } = r.settings;
  return checkQuorum && r.lead !== NONE && r.electionElapsed < electionTick;
}

/**
 * Learns a commit index from a vote request or rejection. An entry with the sender's index and term is the same entry,
 * so it is committed here too. A commit could otherwise be known to a removed or demoted leader only, whose longer log
 * keeps everybody else from being elected in the old configuration.
 */
export function learnCommit(r: Raft, m: Message): void {
  const commit = m.hintCommit ?? 0;
  if (r.state === 'StateLeader' || commit <= r.log.committed) return;
  if (m.hintTerm === undefined || !r.log.matches(commit, m.hintTerm)) return;
  r.log.commitTo(commit);
  // This campaign began under a configuration that is now known to be replaced.
  if (r.state !== 'StateFollower' && r.log.hasUnappliedConfChange()) {
    r.becomeFollower(r.term, NONE);
  }
}

function commitHint(r: Raft): { hintCommit: Index; hintTerm: number | undefined } {
  return { hintCommit: r.log.committed, hintTerm: r.log.term(r.log.committed) };
}

function becomeCandidate(r: Raft): void {
  assert(r.state !== 'StateLeader', 'a leader cannot become candidate');
  r.reset(r.term + 1);
  r.vote = r.id;
  r.state = 'StateCandidate';
  r.logger?.info(`${r.id} became candidate at term ${r.term}`);
}

/** Neither term nor vote change: it is only a question. */
function becomePreCandidate(r: Raft): void {
  assert(r.state !== 'StateLeader', 'a leader cannot become pre-candidate');
  r.tracker.resetVotes();
  r.lead = NONE;
  r.state = 'StatePreCandidate';
  r.logger?.info(`${r.id} became pre-candidate at term ${r.term}`);
}

/** One tick of a node that does not lead. */
export function tickElection(r: Raft): void {
  r.electionElapsed++;
  if (r.electionElapsed < r.randomizedElectionTimeout || !r.promotable()) return;
  r.electionElapsed = 0;
  hup(r);
}
