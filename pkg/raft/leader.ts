import { changeMembership, isJoint, leavesJoint } from './conf-change.ts';
import { decodeConfChange } from './conf-change-codec.ts';
import { assert, RaftError } from './error.ts';
import type { Entry, Message } from './message.ts';
import { BLANK, NONE, payloadsSize } from './message.ts';
import type { Progress } from './progress.ts';
import type { Raft } from './raft.ts';
import { confirmReads, releasePendingReads, requestRead } from './reads.ts';
import {
  broadcastAppend,
  broadcastHeartbeat,
  sendAppend,
  sendTimeoutNow,
  tryCommit,
  trySendAppend,
} from './replication.ts';

export function becomeLeader(r: Raft): void {
  assert(r.state === 'StateCandidate', 'only a candidate can become leader');
  r.reset(r.term);
  r.lead = r.id;
  r.state = 'StateLeader';
  const own = r.tracker.progress(r.id);
  assert(own !== undefined, 'a leader was elected that is no member');
  own.becomeReplicate();
  own.recentActive = true;
  // Somewhere in the log there may be a configuration change that is not applied; looking for it is not worth it.
  r.pendingConfIndex = r.log.lastIndex();
  // Older entries can only be committed together with one of this term.
  const accepted = append(r, [{ type: 'EntryNormal', data: null }]);
  assert(accepted, 'the first entry of a leader has no size and cannot be refused');
  r.logger?.info(`${r.id} became leader at term ${r.term}`);
}

export function stepLeader(r: Raft, m: Message): void {
  if (m.type === 'MsgProp') {
    propose(r, m.entries ?? []);
    return;
  }
  if (m.type === 'MsgReadIndex') {
    requestRead(r, m);
    return;
  }
  const member = r.tracker.progress(m.from);
  if (member === undefined) return;
  if (m.type === 'MsgAppResp') {
    member.recentActive = true;
    if (m.reject === true) appendRefused(r, member, m);
    else appendAccepted(r, member, m.index ?? 0);
  } else if (m.type === 'MsgHeartbeatResp') {
    heartbeatAnswered(r, member, m);
  } else if (m.type === 'MsgTransferLeader') {
    transferLeadership(r, member);
  }
}

export function tickLeader(r: Raft): void {
  const { electionTick, heartbeatTick, readOnlyOption } = r.settings;
  r.leaderTicks++;
  r.heartbeatElapsed++;
  r.electionElapsed++;
  if (r.electionElapsed >= electionTick) {
    r.electionElapsed = 0;
    if (r.settings.checkQuorum) checkQuorum(r);
    if (r.state !== 'StateLeader') return;
    // The transfer took too long: this node goes on.
    r.leadTransferee = NONE;
    proposeAutoLeave(r);
  }
  if (r.heartbeatElapsed < heartbeatTick) return;
  r.heartbeatElapsed = 0;
  if (readOnlyOption === 'lease-based') {
    r.readIndex.beginLeaseRound(r.leaderTicks);
    r.readIndex.acknowledgeSelf(r.id);
  }
  broadcastHeartbeat(r);
}

/**
 * Leaves a joint configuration that is to be left automatically, as soon as it is applied. It can be refused while
 * leadership is handed over, so this is tried again with every applied entry and every election timeout.
 */
export function proposeAutoLeave(r: Raft): void {
  if (r.state !== 'StateLeader' || !r.tracker.config.autoLeave) return;
  if (r.log.applied < r.pendingConfIndex || r.leadTransferee !== NONE) return;
  if (r.tracker.progress(r.id) === undefined || !r.committedInTerm()) return;
  propose(r, [{ type: 'EntryConfChangeV2', data: null }]);
}

type Proposal = Pick<Entry, 'type' | 'data'>;

function propose(r: Raft, proposals: readonly Proposal[]): void {
  const dropped = proposals.length === 0 || r.leadTransferee !== NONE;
  // A leader that was removed goes on until somebody else leads, but takes nothing new.
  if (dropped || r.tracker.progress(r.id) === undefined) throw new RaftError('ErrProposalDropped');
  // Quorums of configurations from two terms may not overlap unless an entry of this term is committed in between.
  if (!r.settings.disableConfChangeValidation && !r.committedInTerm()) {
    if (proposals.some(({ type }) => type !== 'EntryNormal'))
      throw new RaftError('ErrProposalDropped');
  }
  const pendingBefore = r.pendingConfIndex;
  const checked = proposals.map((proposal, i) =>
    proposal.type === 'EntryNormal' ? proposal : checkConfChange(r, proposal, i),
  );
  if (!append(r, checked)) {
    r.pendingConfIndex = pendingBefore;
    throw new RaftError('ErrProposalDropped');
  }
  broadcastAppend(r);
}

/** The change itself, or an empty entry in its place when it must not be made now. */
function checkConfChange(r: Raft, proposal: Proposal, offset: number): Proposal {
  const index = r.log.lastIndex() + 1 + offset;
  const refused = r.settings.disableConfChangeValidation
    ? undefined
    : whyRefused(r, { ...proposal, index, term: r.term });
  if (refused !== undefined) {
    r.logger?.info(`${r.id} ignores a configuration change: ${refused}`);
    return { type: 'EntryNormal', data: null };
  }
  r.pendingConfIndex = index;
  return proposal;
}

function whyRefused(r: Raft, entry: Entry): string | undefined {
  if (r.pendingConfIndex > r.log.applied) {
    return `there may be an unapplied one at ${r.pendingConfIndex}, applied is ${r.log.applied}`;
  }
  try {
    const change = decodeConfChange(entry);
    const joint = isJoint(r.tracker.config);
    if (joint && !leavesJoint(change)) return 'the joint configuration must be left first';
    if (!joint && leavesJoint(change)) return 'the configuration is not joint';
    changeMembership(r.tracker.membership, change, r.makeProgress);
    return undefined;
  } catch (error) {
    if (error instanceof RaftError) return error.message;
    throw error;
  }
}

/** False when too much is uncommitted already. An empty log tail takes anything, and empty entries always fit. */
function append(r: Raft, proposals: readonly Proposal[]): boolean {
  const last = r.log.lastIndex();
  const entries = proposals.map(({ type, data }, i) => ({
    term: r.term,
    index: last + 1 + i,
    type,
    data,
  }));
  const size = payloadsSize(entries);
  const total = r.uncommittedSize + size;
  if (r.uncommittedSize > 0 && size > 0 && total > r.settings.maxUncommittedEntriesSize) {
    r.logger?.warn(`${r.id} drops a proposal: ${r.uncommittedSize} bytes are uncommitted`);
    return false;
  }
  const end = last + entries.length;
  if (!Number.isSafeInteger(end)) throw new RaftError('ErrIndexRange');
  r.uncommittedSize = total;
  r.log.append(entries);
  // The leader acknowledges its own entries when they are durable, as everybody else does.
  r.sendAfterAppend({
    ...BLANK,
    type: 'MsgAppResp',
    from: r.id,
    to: r.id,
    term: r.term,
    index: end,
  });
  return true;
}

function appendRefused(r: Raft, member: Progress, m: Message): void {
  const hintTerm = m.logTerm ?? 0;
  let hint = m.rejectHint ?? 0;
  // The member's entries up to the hint have terms of at most hintTerm, so where ours are later the logs differ.
  if (hintTerm > 0) hint = r.log.lastNotAfter(hint, hintTerm).index;
  if (!member.retreat(m.index ?? 0, hint)) return;
  if (member.state === 'StateReplicate') member.becomeProbe();
  sendAppend(r, member);
}

function appendAccepted(r: Raft, member: Progress, index: number): void {
  const confirmsProbe = member.match === index && member.state === 'StateProbe';
  if (!member.acknowledge(index) && !confirmsProbe) return;
  if (member.state === 'StateProbe') {
    member.becomeReplicate();
  } else if (member.state === 'StateSnapshot') {
    // Whatever brought it here, with or without the snapshot: the log can continue.
    if (member.match + 1 >= r.log.firstIndex()) {
      member.becomeProbe();
      member.becomeReplicate();
    }
  } else {
    member.inflights.freeUpTo(index);
  }
  if (tryCommit(r)) {
    releasePendingReads(r);
    broadcastAppend(r);
  } else if (member.id !== r.id && member.canBumpCommit(r.log.committed)) {
    sendAppend(r, member);
  }
  if (member.id === r.id) return;
  while (trySendAppend(r, member, false)) {
    // The window has room for more.
  }
  if (member.id === r.leadTransferee && member.match === r.log.lastIndex()) {
    sendTimeoutNow(r, member.id);
  }
}

function heartbeatAnswered(r: Raft, member: Progress, m: Message): void {
  member.recentActive = true;
  member.flowPaused = false;
  if (member.match < r.log.lastIndex() || member.state === 'StateProbe') sendAppend(r, member);
  confirmReads(r, m);
}

function transferLeadership(r: Raft, member: Progress): void {
  if (member.isLearner || r.leadTransferee === member.id) return;
  r.leadTransferee = NONE;
  if (member.id === r.id) return;
  r.logger?.info(`${r.id} hands leadership over to ${member.id}`);
  r.electionElapsed = 0;
  r.leadTransferee = member.id;
  r.leaseEnded = true;
  if (member.match === r.log.lastIndex()) sendTimeoutNow(r, member.id);
  else sendAppend(r, member);
}

function checkQuorum(r: Raft): void {
  if (!r.tracker.quorumActive()) {
    r.logger?.warn(`${r.id} steps down: no quorum answers`);
    r.becomeFollower(r.term, NONE);
  }
  for (const member of r.tracker.members) {
    if (member.id !== r.id) member.recentActive = false;
  }
}
